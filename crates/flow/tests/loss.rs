//! Corruption and loss against values anyone can check by hand.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_flow::{Given, add_noise, corrupt, velocity_loss};

const CPU: Device = Device::Cpu;

#[test]
fn noise_is_added_by_each_clips_own_time() -> Result<()> {
    let clean = Tensor::full(10f32, (3, 1, 1, 1, 1), &CPU)?;
    let x = add_noise(&clean, &clean.zeros_like()?, &Tensor::new(&[0f32, 250.0, 1000.0], &CPU)?)?;
    assert_eq!(x.flatten_all()?.to_vec1::<f32>()?, [10.0, 7.5, 0.0]);
    Ok(())
}

#[test]
fn given_frames_stay_clean_bit_for_bit() -> Result<()> {
    let clean = Tensor::new(&[0.1f32, 0.2, 0.3], &CPU)?.reshape((1, 1, 3, 1, 1))?;
    let given = Given::from_mask(&Tensor::new(&[[0u8, 1, 0]], &CPU)?)?;
    let noised = corrupt(&clean, &clean.ones_like()?, &Tensor::new(&[1000f32], &CPU)?, &given)?;
    assert_eq!(noised.x.flatten_all()?.to_vec1::<f32>()?, [0.1, 1.0, 0.3]);
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

#[test]
fn clips_weigh_the_same_whatever_their_number_of_generated_frames() -> Result<()> {
    let clean = Tensor::zeros((2, 1, 4, 1, 1), DType::F32, &CPU)?;
    let given = Given::from_mask(&Tensor::new(&[[0u8, 0, 0, 1], [1, 1, 1, 1]], &CPU)?)?;
    let noised = corrupt(&clean, &clean, &Tensor::new(&[1f32, 2.0], &CPU)?, &given)?;
    let velocity = Var::from_tensor(&Tensor::ones((2, 2, 4, 1, 1), DType::F32, &CPU)?)?;
    let loss = velocity_loss(&velocity, &noised)?;
    assert_eq!(loss.to_vec1::<f32>()?, [1.0, 1.0]);
    let grads = loss.sum_all()?.backward()?;
    let gradient = grads.get(velocity.as_tensor()).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
    // Clip 0: one generated frame; its second channel, given frames and unused channels receive nothing.
    let expected = [0., 0., 0., 2., 0., 0., 0., 0., 0.5, 0.5, 0.5, 0.5, 0., 0., 0., 0.];
    assert_eq!(gradient, expected);
    Ok(())
}

#[test]
fn nothing_left_to_generate_is_refused() {
    assert!(Given::first(1, 3, 3, &CPU).unwrap_err().to_string().contains("leave none of 3"));
}
