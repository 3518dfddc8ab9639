//! The image VAE: gradients, samples by themselves, refusals.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_video_vae::{ImageConfig, ImageVae};
use support::{learns, numbers, params};

#[test]
fn every_trainable_variable_learns_and_no_frozen_one() -> Result<()> {
    for trains in [true, false] {
        let params = params();
        let vae = ImageVae::new(&ImageConfig::tiny(), params.builder(trains))?;
        let x = Var::from_tensor(&numbers("x", &[2, 3, 16, 24])?)?;
        let posterior = vae.encode(&x)?;
        let z = posterior.sample_with(&numbers("noise", &[2, 4, 2, 3])?)?;
        let loss =
            ((vae.decode(&z)? - x.as_tensor())?.sqr()?.sum_all()? + posterior.logvar().sqr()?.sum_all()?)?;
        learns(&loss, &x, &params, trains)?;
    }
    Ok(())
}

/// At the published widths, too: nothing may be summed in an order that the batch decides.
#[test]
fn a_picture_has_the_same_bits_alone_and_in_a_batch() -> Result<()> {
    let wide = ImageConfig { layers_per_block: 1, ..ImageConfig::open_sora_v1_2() };
    for config in [ImageConfig::tiny(), wide] {
        let vae = ImageVae::new(&config, params().frozen())?;
        let pictures = numbers("x", &[3, 3, 24, 16])?;
        let bits = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        let whole = vae.encode(&pictures)?;
        let decoded = vae.decode(whole.mean())?;
        for sample in 0..3 {
            let own = |x: &Tensor| x.narrow(0, sample, 1);
            let alone = vae.encode(&own(&pictures)?)?;
            assert_eq!(bits(alone.mean())?, bits(&own(whole.mean())?)?);
            assert_eq!(bits(alone.logvar())?, bits(&own(whole.logvar())?)?);
            assert_eq!(bits(&vae.decode(alone.mean())?)?, bits(&own(&decoded)?)?);
        }
    }
    Ok(())
}

#[test]
fn the_smallest_picture_is_one_latent() -> Result<()> {
    let vae = ImageVae::new(&ImageConfig::tiny(), params().frozen())?;
    let z = vae.encode(&numbers("x", &[1, 3, 8, 8])?)?;
    assert_eq!(z.mean().dims(), [1, 4, 1, 1]);
    let decoded = vae.decode(z.mean())?.flatten_all()?.to_vec1::<f32>()?;
    assert!(decoded.len() == 192 && decoded.iter().all(|pixel| pixel.is_finite()));
    Ok(())
}

#[test]
fn what_is_no_picture_is_refused_with_its_mend() -> Result<()> {
    let vae = ImageVae::new(&ImageConfig::tiny(), params().frozen())?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    for (shape, words) in [
        (&[1, 3, 1, 1][..], "multiples of 8 and at least 8"),
        (&[1, 3, 0, 8], "multiples of 8"),
        (&[1, 3, 16, 12], "16 x 12 pixels"),
        (&[1, 4, 16, 16], "takes 3"),
        (&[0, 3, 16, 16], "at least one sample"),
        (&[3, 16, 16], "(samples, channels, height, width)"),
    ] {
        let error = vae.encode(&zeros(shape)?).expect_err("refused").to_string();
        assert!(error.contains(words), "{shape:?}: {error}");
    }
    for (shape, words) in
        [(&[1, 4, 0, 2][..], "at least 1"), (&[1, 3, 2, 2], "takes 4"), (&[4, 2, 2], "samples")]
    {
        let error = vae.decode(&zeros(shape)?).expect_err("refused").to_string();
        assert!(error.contains(words), "{shape:?}: {error}");
    }
    Ok(())
}
