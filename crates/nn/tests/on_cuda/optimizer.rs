//! AdamW, the norm of all gradients and the nearest code.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{AdamStep, AdamUpdate, Average, adamw, global_norm, nearest_code};

use super::{assert_close, device, numbers};

/// Variable, first and second moment, average.
fn state(shape: &[usize], device: &Device) -> Result<[Var; 4]> {
    let start = |name: &str| numbers(name, shape)?.to_dtype(DType::F32)?.to_device(device);
    let second = (numbers("second", shape)?.to_dtype(DType::F32)?.sqr()? * 0.1)?.to_device(device)?;
    Ok([
        Var::from_tensor(&start("var")?)?,
        Var::from_tensor(&start("first")?)?,
        Var::from_tensor(&second)?,
        Var::from_tensor(&start("average")?)?,
    ])
}

#[test]
fn a_step_for_all_variables() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let shapes: [&[usize]; 4] = [&[5000], &[33], &[4, 3, 5], &[1]];
    let run = |device: &Device| -> Result<(f64, Vec<Tensor>)> {
        let states = shapes.iter().map(|shape| state(shape, device)).collect::<Result<Vec<_>>>()?;
        let grad = |(index, shape): (usize, &&[usize])| {
            let grad = numbers("gradient", shape)?;
            (if index % 2 == 0 { grad.to_dtype(DType::F32)? } else { grad }).to_device(device)
        };
        let grads = shapes.iter().enumerate().map(grad).collect::<Result<Vec<_>>>()?;
        let norm = global_norm(&grads)?;
        let update = |(index, (state, grad))| {
            let [var, first, second, average]: &[Var; 4] = state;
            AdamUpdate {
                var,
                grad,
                first,
                second,
                average: (index != 2).then_some(Average { values: average, decay: 0.75 }),
                step: AdamStep {
                    rate: 1e-2 * (index + 1) as f64,
                    decay: 0.1 * index as f64,
                    beta1: 0.9,
                    beta2: 0.99,
                    eps: 1e-8,
                    count: 3,
                    scale: 1.0 / norm,
                },
            }
        };
        let updates: Vec<AdamUpdate<'_>> = states.iter().zip(&grads).enumerate().map(update).collect();
        adamw(&updates)?;
        Ok((norm, states.iter().flatten().map(Var::as_detached_tensor).collect()))
    };
    let ((got_norm, got), (norm, want)) = (run(&device)?, run(&Device::Cpu)?);
    assert!((got_norm - norm).abs() < 1e-5 * norm, "norm {got_norm} instead of {norm}");
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        let part = ["variable", "first moment", "second moment", "average"][index % 4];
        assert_close(&format!("{part} {}", index / 4), got, want, 1e-5)?;
    }
    Ok(())
}

#[test]
fn the_nearest_code() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    for dtype in [DType::F32, DType::BF16] {
        let (x, codes) = (numbers("x", &[19, 8])?.to_dtype(dtype)?, numbers("codes", &[70, 8])?);
        let found = nearest_code(&x.to_device(&device)?, &codes.to_device(&device)?)?;
        assert_eq!(found.to_vec1::<u32>()?, nearest_code(&x, &codes)?.to_vec1::<u32>()?);
    }
    Ok(())
}
