//! Times, corruption, loss and sampler against values anyone can check by hand.

use candle_core::{DType, Device, Result, Tensor};
use cola_flow::{
    Given, Sampler, SamplerConfig, Shift, TimeConfig, TimeDistribution, Velocity, corrupt, keep_mask,
    velocity_loss,
};

const CPU: Device = Device::Cpu;

#[test]
fn the_resolution_shift_is_open_soras() {
    let time = TimeConfig::open_sora_v1_2();
    assert!((time.ratio(256, 256, 5) - 1.1180).abs() < 1e-4);
    assert_eq!(time.ratio(256, 256, 1), 0.5);
}

#[test]
fn the_grid_starts_at_1000_exactly_and_falls() {
    for shift in [Shift::None, Shift::Fixed(6.0), Shift::Resolution(1.0)] {
        let time = TimeConfig { distribution: TimeDistribution::Uniform, shift };
        let grid = time.grid(10, time.ratio(32, 64, 5));
        assert_eq!((grid.len(), grid[0]), (10, 1000.0));
        assert!(grid.windows(2).all(|pair| pair[0] > pair[1] && pair[1] > 0.0));
    }
    let plain = TimeConfig { distribution: TimeDistribution::Uniform, shift: Shift::None };
    assert!((plain.grid(10, 1.0)[3] - 700.0).abs() < 1e-9);
}

#[test]
fn times_and_drops_depend_on_the_sample_not_on_the_batch() -> Result<()> {
    let time = TimeConfig { distribution: TimeDistribution::LogitNormal, shift: Shift::Fixed(6.0) };
    let batch = time.draw(6.0, 1, 5, &[10, 11, 12]);
    assert_eq!(batch[2], time.draw(6.0, 1, 5, &[12])[0]);
    assert_ne!(batch[2], time.draw(6.0, 1, 6, &[12])[0]);
    assert!(batch.iter().all(|t| (0.0..=1000.0).contains(t)));
    let many: Vec<u64> = (0..4000).collect();
    let keep = keep_mask(0.1, 3, 1, 5, &many, &CPU)?;
    let kept = keep.mean_all()?.to_scalar::<f32>()?;
    assert!((kept - 0.9).abs() < 0.01, "kept {kept}");
    let alone = keep_mask(0.1, 3, 1, 5, &[77], &CPU)?;
    assert_eq!(alone.flatten_all()?.to_vec1::<f32>()?, keep.get(77)?.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

#[test]
fn the_loss_counts_generated_frames_only_and_the_first_channels_only() -> Result<()> {
    let clean = Tensor::zeros((1, 2, 3, 2, 2), DType::F32, &CPU)?;
    let noise = Tensor::ones((1, 2, 3, 2, 2), DType::F32, &CPU)?;
    let t = Tensor::new(&[250f32], &CPU)?;
    let noised = corrupt(&clean, &noise, &t, &Given::first(1, 3, 1, &CPU)?)?;
    // target is -1 everywhere; predict -1 on the given frame, +1 on the others, rubbish in the unused channels
    let frame = |value: f32| Tensor::full(value, (1, 2, 1, 2, 2), &CPU);
    let used = Tensor::cat(&[frame(-1.0)?, frame(1.0)?, frame(1.0)?], 2)?;
    let velocity = Tensor::cat(&[used, Tensor::full(99f32, (1, 2, 3, 2, 2), &CPU)?], 1)?;
    assert_eq!(velocity_loss(&velocity, &noised)?.to_vec1::<f32>()?, [4.0]);
    Ok(())
}

/// `v = target - x` pulls towards a point; its context is the point.
struct Pull;

impl Velocity for Pull {
    type Context = f64;
    fn velocity(&self, x: &Tensor, t: &Tensor, _given: &Given, target: &f64) -> Result<Tensor> {
        // On the straight path from e to the point p, (p - x_t) = s (p - e): divide by s for a constant velocity.
        let s = (t.get(0)?.to_scalar::<f32>()? / 1000.0) as f64;
        x.affine(-1.0 / s, target / s)
    }
}

#[test]
fn euler_steps_follow_a_straight_path_to_its_end_and_hold_given_frames() -> Result<()> {
    let noise = Tensor::full(5f32, (1, 1, 2, 1, 1), &CPU)?;
    let clean = Tensor::full(-7f32, (1, 1, 2, 1, 1), &CPU)?;
    let given = Given::first(1, 2, 1, &CPU)?;
    for shift in [Shift::None, Shift::Fixed(6.0)] {
        let time = TimeConfig { distribution: TimeDistribution::Uniform, shift };
        let sampler = Sampler::new(SamplerConfig { steps: 10, guidance: 1.0 }, &time, time.ratio(32, 32, 2));
        let z = sampler.sample(&Pull, &noise, &clean, &given, &2.0, &0.0)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(z[0], -7.0);
        assert!((z[1] - 2.0).abs() < 1e-5, "{z:?}");
    }
    Ok(())
}
