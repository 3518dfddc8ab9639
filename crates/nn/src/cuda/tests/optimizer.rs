//! AdamW and the nearest code on a device.

use candle_core::{DType, Device, Result, Tensor};

use super::{assert_close, device, pair};
use crate::cuda::adamw::{Constants, Slot, step};
use crate::cuda::nearest;

#[test]
fn one_step_of_adamw_is_the_formula() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let constants = Constants { beta1: 0.9, beta2: 0.99, eps: 1e-8, clip: 1.0, ema: 0.9 };
    let (rate, keep, correction) = (0.01, 0.999, 1.25);
    let grads = [pair(&[5000], DType::F32, &device)?, pair(&[33], DType::BF16, &device)?];
    let weights = [pair(&[5000], DType::F32, &device)?, pair(&[33], DType::F32, &device)?];
    let state = |value: f32, count: usize| Tensor::full(value, count, &Device::Cpu)?.to_device(&device);
    let firsts = [state(0.5, 5000)?, state(0.5, 33)?];
    let seconds = [state(0.25, 5000)?, state(0.25, 33)?];
    let average = state(1.0, 5000)?;
    let copy = pair(&[33], DType::BF16, &device)?;
    let slots = [0, 1].map(|i| Slot {
        grad: &grads[i].device,
        weight: &weights[i].device,
        first: &firsts[i],
        second: &seconds[i],
        ema: (i == 0).then_some(&average),
        copy: (i == 1).then_some(copy.device.as_tensor()),
        rate,
        keep,
        correction,
    });
    let norm = step(&slots, &constants)?;
    let square = |i: usize| grads[i].host.sqr()?.sum_all()?.to_scalar::<f32>();
    let want = f64::from(square(0)? + square(1)?).sqrt();
    assert!((norm - want).abs() < 1e-4 * want, "norm {norm} instead of {want}");
    for i in 0..2 {
        let grad = (grads[i].host.as_tensor() / want)?;
        let first = ((&grad * 0.1)? + 0.45)?;
        let second = ((grad.sqr()? * 0.01)? + 0.2475)?;
        let root = ((&second * correction)?.sqrt()? + 1e-8)?;
        let weight = ((weights[i].host.as_tensor() * keep)? - (&first * rate)?.div(&root)?)?;
        assert_close("first moment", &firsts[i], &first, 1e-5)?;
        assert_close("second moment", &seconds[i], &second, 1e-5)?;
        assert_close("weight", &weights[i].device, &weight, 1e-5)?;
        if i == 0 {
            assert_close("average", &average, &((weight * 0.1)? + 0.9)?, 1e-5)?;
        } else {
            assert_close("copy", &copy.device, &weight, 1e-2)?;
        }
    }
    Ok(())
}

#[test]
fn the_nearest_code_is_found() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let (tokens, codes) = (pair(&[2, 9, 8], DType::F32, &device)?, pair(&[70, 8], DType::F32, &device)?);
    let found = nearest(&tokens.device, &codes.device)?.to_device(&Device::Cpu)?;
    let far = tokens.host.unsqueeze(2)?.broadcast_sub(&codes.host)?.sqr()?.sum(3)?;
    assert_eq!(found.to_vec2::<u32>()?, far.argmin(2)?.to_vec2::<u32>()?);
    Ok(())
}
