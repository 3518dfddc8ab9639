//! Dropped actions: each transition on its own, the same for a sample in any batch.

use candle_core::{Device, Result, Tensor};
use cola_flow::{guide, keep_mask, keep_mask_with};

const CPU: Device = Device::Cpu;

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[test]
fn a_draw_below_the_probability_drops() -> Result<()> {
    let keep = keep_mask_with(0.7, &[0.0, 0.69, 0.7, 0.999, 0.8, 0.1], (2, 3), &CPU)?;
    assert_eq!(keep.dims(), [2, 3, 1]);
    // 0.7 as an f32 lies below 0.7.
    assert_eq!(flat(&keep)?, [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn probabilities_0_and_1_keep_and_drop_everything() -> Result<()> {
    let samples: Vec<u64> = (0..500).collect();
    assert!(flat(&keep_mask(0.0, 4, 3, 1, &samples, &CPU)?)?.iter().all(|&keep| keep == 1.0));
    assert!(flat(&keep_mask(1.0, 4, 3, 1, &samples, &CPU)?)?.iter().all(|&keep| keep == 0.0));
    Ok(())
}

#[test]
fn transitions_are_dropped_independently_of_each_other() -> Result<()> {
    let samples: Vec<u64> = (0..20_000).collect();
    let keep = keep_mask(0.3, 2, 1, 5, &samples, &CPU)?.squeeze(2)?.to_vec2::<f32>()?;
    let part = |first: f32, second: f32| {
        keep.iter().filter(|row| row[..] == [first, second]).count() as f64 / samples.len() as f64
    };
    for (first, second, expected) in [(0.0, 0.0, 0.09), (0.0, 1.0, 0.21), (1.0, 0.0, 0.21), (1.0, 1.0, 0.49)]
    {
        let found = part(first, second);
        assert!(
            (found - expected).abs() < 0.015,
            "({first}, {second}): {found} of the clips, expected {expected}"
        );
    }
    Ok(())
}

#[test]
fn drops_depend_on_seed_step_and_sample_not_on_the_batch() -> Result<()> {
    let batch = keep_mask(0.5, 32, 1, 5, &[10, 11, 12], &CPU)?;
    let alone = |seed, step, sample| flat(&keep_mask(0.5, 32, seed, step, &[sample], &CPU)?);
    assert_eq!(flat(&batch.get(2)?)?, alone(1, 5, 12)?);
    for other in [alone(2, 5, 12)?, alone(1, 6, 12)?, alone(1, 5, 13)?] {
        assert_ne!(flat(&batch.get(2)?)?, other);
    }
    Ok(())
}

#[test]
fn wrong_probabilities_and_counts_are_refused() {
    for drop in [-0.1, 1.1, f64::NAN] {
        let error = keep_mask(drop, 3, 0, 0, &[0], &CPU).unwrap_err().to_string();
        assert!(error.contains("not in 0..=1"), "{error}");
    }
    assert!(keep_mask_with(0.1, &[0.5; 5], (2, 3), &CPU).is_err());
}

#[test]
fn guidance_1_is_the_condition_and_0_is_none() -> Result<()> {
    let (with, without) = (Tensor::new(&[3f32, -1.0], &CPU)?, Tensor::new(&[1f32, 1.0], &CPU)?);
    for (scale, expected) in [(0.0, [1.0, 1.0]), (1.0, [3.0, -1.0]), (4.0, [9.0, -7.0])] {
        assert_eq!(flat(&guide(&with, &without, scale)?)?, expected);
    }
    Ok(())
}
