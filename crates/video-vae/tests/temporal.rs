//! The temporal VAE: gradients, chunks.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_video_vae::{TemporalConfig, TemporalVae};
use support::{learns, numbers, params};

#[test]
fn every_trainable_variable_learns_and_no_frozen_one() -> Result<()> {
    for trains in [true, false] {
        let params = params();
        let vae = TemporalVae::new(&TemporalConfig::tiny(), params.builder(trains))?;
        let x = Var::from_tensor(&numbers("x", &[1, 4, 6, 4, 3])?)?;
        let posterior = vae.encode(&x)?;
        let z = posterior.sample_with(&numbers("noise", &[1, 4, 2, 4, 3])?)?;
        let decoded = vae.decode(&z, 6)?;
        let loss = ((&decoded - x.as_tensor())?.sqr()?.sum_all()? + posterior.logvar().sqr()?.sum_all()?)?;
        learns(&loss, &x, &params, trains)?;
    }
    Ok(())
}

#[test]
fn chunks_do_not_see_each_other() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let x = numbers("x", &[2, 4, 20, 3, 2])?;
    let whole = vae.encode(&x)?;
    assert_eq!(whole.mean().dims(), [2, 4, 6, 3, 2]);
    let bits = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
    let decoded = vae.decode(whole.mean(), 20)?;
    for (frames, latents) in [((0, 17), (0, 5)), ((17, 3), (5, 1))] {
        let own = vae.encode(&x.narrow(2, frames.0, frames.1)?)?;
        assert_eq!(bits(own.mean())?, bits(&whole.mean().narrow(2, latents.0, latents.1)?)?);
        assert_eq!(bits(own.logvar())?, bits(&whole.logvar().narrow(2, latents.0, latents.1)?)?);
        let again = vae.decode(own.mean(), frames.1)?;
        assert_eq!(bits(&again)?, bits(&decoded.narrow(2, frames.0, frames.1)?)?);
    }
    Ok(())
}

#[test]
fn latent_frames_are_those_of_the_chunk_rule() {
    let config = TemporalConfig::open_sora_v1_2();
    assert_eq!(config.time_factor(), 4);
    for (frames, latents) in [(1, 1), (4, 1), (5, 2), (16, 4), (17, 5), (18, 6), (20, 6), (34, 10), (51, 15)]
    {
        assert_eq!(config.latent_frames(frames), latents, "{frames} frames");
    }
}

#[test]
fn a_sample_is_a_function_of_its_generator() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let posterior = vae.encode(&numbers("x", &[1, 4, 4, 2, 2])?)?;
    let draw = |seed| {
        posterior.sample(&mut cola_random::stream(seed, "posterior", 0, 0))?.flatten_all()?.to_vec1::<f32>()
    };
    assert_eq!(draw(0)?, draw(0)?);
    assert_ne!(draw(0)?, draw(1)?);
    Ok(())
}

#[test]
fn a_number_of_frames_that_does_not_fit_is_refused() -> Result<()> {
    let vae = TemporalVae::new(&TemporalConfig::tiny(), params().frozen())?;
    let z = numbers("z", &[1, 4, 2, 2, 2])?;
    for frames in [0, 4, 9, 17] {
        let error = vae.decode(&z, frames).expect_err("refused").to_string();
        assert!(error.contains(&frames.to_string()) && error.contains("[1, 4, 2, 2, 2]"), "{error}");
    }
    assert!(vae.encode(&Tensor::zeros((1, 4, 0, 2, 2), DType::F32, &Device::Cpu)?).is_err());
    Ok(())
}
