//! Space to depth: invertible, energy-keeping, normalised, clamped.

mod support;

use candle_core::{DType, Result, Tensor};
use cola_dit_world::{CodecConfig, LatentCodec, SpaceToDepth};
use cola_nn::Params;
use cola_random::{stream, uniforms};
use proptest::prelude::*;
use support::{DEVICE, empty, flat, largest_difference, normal};

/// A random video `(b, t, 3, h, w)` in `[0, 1]`, a pure function of the seed.
fn video(seed: u64, b: usize, t: usize, h: usize, w: usize) -> Result<Tensor> {
    let values = uniforms(b * t * 3 * h * w, 0.0, 1.0, &mut stream(seed, "video", 0, 0));
    Tensor::from_vec(values, (b, t, 3, h, w), &DEVICE)
}

/// A smooth video, whose blocks' details are fainter than their means.
fn smooth(b: usize, t: usize, side: usize) -> Result<Tensor> {
    let values: Vec<f32> = (0..b * t * 3)
        .flat_map(|picture| {
            (0..side * side).map(move |i| {
                let (y, x) = ((i / side) as f32 / side as f32, (i % side) as f32 / side as f32);
                0.5 + 0.4 * (3.0 * x + 5.0 * y * y + 1.7 * picture as f32).sin()
            })
        })
        .collect();
    Tensor::from_vec(values, (b, t, 3, side, side), &DEVICE)
}

fn plain(factor: usize) -> CodecConfig {
    CodecConfig { factor, whiten: 0.0 }
}

/// A codec whose shift and scale are fitted to the video.
fn fitted(config: &CodecConfig, video: &Tensor) -> Result<SpaceToDepth> {
    let (shift, scale) = SpaceToDepth::fit(config, video)?;
    let params = empty();
    params.set("shift", &shift)?;
    params.set("scale", &scale)?;
    SpaceToDepth::new(config, params.frozen())
}

fn mean_square(x: &Tensor) -> Result<f64> {
    x.to_dtype(DType::F64)?.sqr()?.mean_all()?.to_scalar()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_video_returns_from_its_latents(
        factor in 1..9usize, b in 1..3usize, t in 1..4usize, h in 1..4usize, w in 1..4usize, seed: u64,
        whiten in 0.0..1.0f64,
    ) {
        let video = video(seed, b, t, h * factor, w * factor).unwrap();
        let config = CodecConfig { factor, whiten };
        for codec in [SpaceToDepth::new(&config, empty().frozen()).unwrap(), fitted(&config, &video).unwrap()] {
            let latents = codec.encode(&video).unwrap();
            prop_assert_eq!(latents.dims(), [b, 3 * factor * factor, t, h, w]);
            let returned = codec.decode(&latents, t).unwrap();
            prop_assert_eq!(returned.dims(), video.dims());
            let difference = largest_difference(&returned, &video).unwrap();
            prop_assert!(difference < 5e-6, "{}", difference);
        }
    }

    /// The basis is orthonormal: a rotation changes no energy.
    #[test]
    fn plain_latents_have_the_energy_of_the_pixels(factor in 1..9usize, seed: u64) {
        let video = video(seed, 1, 2, 2 * factor, factor).unwrap();
        let codec = SpaceToDepth::new(&plain(factor), empty().frozen()).unwrap();
        let (pixels, latents) = (mean_square(&video).unwrap(), mean_square(&codec.encode(&video).unwrap()).unwrap());
        prop_assert!((pixels - latents).abs() < 1e-6 * pixels, "{} {}", pixels, latents);
    }
}

#[test]
fn unit_pictures_become_orthonormal_latents() -> Result<()> {
    for factor in [1, 2, 3, 4] {
        let channels = 3 * factor * factor;
        let units = Tensor::eye(channels, DType::F64, &DEVICE)?.reshape((1, channels, 3, factor, factor))?;
        let params = Params::seeded(0, DType::F64, &DEVICE);
        let rows = SpaceToDepth::new(&plain(factor), params.frozen())?.encode(&units)?;
        let rows = rows.reshape((channels, channels))?.t()?.contiguous()?; // row = unit picture
        let products = rows.matmul(&rows.t()?)?;
        let error =
            (products - Tensor::eye(channels, DType::F64, &DEVICE)?)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(error < 1e-12, "factor {factor}: {error}");
    }
    Ok(())
}

#[test]
fn the_first_latent_channel_is_the_grey_mean_of_its_block() -> Result<()> {
    let codec = SpaceToDepth::new(&plain(4), empty().frozen())?;
    let video = (Tensor::ones((1, 1, 3, 4, 4), DType::F32, &DEVICE)? * 0.5)?;
    let latents = flat(&codec.encode(&video)?)?;
    // Orthonormal, so the constant 0.5 over 48 numbers has length 0.5 sqrt 48, all of it in channel 0.
    assert!((latents[0] - 0.5 * 48f32.sqrt()).abs() < 1e-5, "{}", latents[0]);
    assert!(latents[1..].iter().all(|value| value.abs() < 1e-6), "{latents:?}");
    Ok(())
}

#[test]
fn fitted_latents_have_mean_0_and_mean_square_1() -> Result<()> {
    let video = video(5, 2, 3, 16, 8)?;
    for whiten in [0.0, 0.5, 1.0] {
        let config = CodecConfig { factor: 4, whiten };
        let latents = fitted(&config, &video)?.encode(&video)?;
        let means =
            latents.transpose(0, 1)?.flatten_from(1)?.mean(1)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(means < 1e-5, "whiten {whiten}: a channel has mean {means}");
        let power = mean_square(&latents)?;
        assert!((power - 1.0).abs() < 1e-4, "whiten {whiten}: {power}");
    }
    Ok(())
}

#[test]
fn without_whitening_distances_keep_up_to_one_factor() -> Result<()> {
    let (a, b) = (smooth(1, 4, 16)?, video(7, 1, 4, 16, 16)?);
    let codec = fitted(&plain(4), &a)?;
    let between = |x: &Tensor, y: &Tensor| mean_square(&(x - y)?);
    let ratios = [(&a, &b), (&a, &(&b * 0.5)?), (&b, &(&b * 0.25)?)]
        .into_iter()
        .map(|(x, y)| Ok(between(&codec.encode(x)?, &codec.encode(y)?)? / between(x, y)?))
        .collect::<Result<Vec<f64>>>()?;
    assert!(ratios.iter().all(|ratio| (ratio / ratios[0] - 1.0).abs() < 1e-4), "{ratios:?}");
    let whitened = fitted(&CodecConfig { factor: 4, whiten: 1.0 }, &a)?;
    let stretched = between(&whitened.encode(&a)?, &whitened.encode(&b)?)? / between(&a, &b)?;
    assert!((stretched / ratios[0] - 1.0).abs() > 0.1, "{stretched}");
    Ok(())
}

#[test]
fn whitening_gives_every_channel_variance_1_and_half_of_it_lies_between() -> Result<()> {
    let video = smooth(2, 8, 16)?;
    let variances = |whiten: f64| -> Result<Vec<f32>> {
        let latents = fitted(&CodecConfig { factor: 2, whiten }, &video)?.encode(&video)?;
        flat(&latents.transpose(0, 1)?.flatten_from(1)?.sqr()?.mean(1)?)
    };
    let spread = |variances: &[f32]| {
        let most = variances.iter().fold(0f32, |a, b| a.max(*b));
        most / variances.iter().fold(f32::INFINITY, |a, b| a.min(*b))
    };
    let (none, half, full) = (spread(&variances(0.0)?), spread(&variances(0.5)?), spread(&variances(1.0)?));
    assert!(none > half && half > full, "{none} {half} {full}");
    Ok(())
}

#[test]
fn a_video_without_contrast_gets_a_finite_scale() -> Result<()> {
    let black = Tensor::zeros((1, 2, 3, 8, 8), DType::F32, &DEVICE)?;
    for whiten in [0.0, 1.0] {
        let (shift, scale) = SpaceToDepth::fit(&CodecConfig { factor: 4, whiten }, &black)?;
        assert!(flat(&scale)?.iter().chain(&flat(&shift)?).all(|value| value.is_finite()));
    }
    Ok(())
}

#[test]
fn decoded_pixels_are_clamped() -> Result<()> {
    let codec = SpaceToDepth::new(&plain(4), empty().frozen())?;
    let pixels = flat(&codec.decode(&(normal("latents", (1, 48, 2, 2, 2))? * 5.0)?, 2)?)?;
    assert!(pixels.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(pixels.contains(&0.0) && pixels.contains(&1.0));
    Ok(())
}

#[test]
fn encoding_keeps_no_history() -> Result<()> {
    let codec = SpaceToDepth::new(&plain(4), empty().frozen())?;
    let video = candle_core::Var::from_tensor(&video(1, 1, 1, 8, 8)?)?;
    assert!(!codec.encode(video.as_tensor())?.track_op());
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() -> Result<()> {
    let text = |result: Result<Tensor>| result.expect_err("it does not fit").to_string();
    let codec = SpaceToDepth::new(&plain(4), empty().frozen())?;
    assert_eq!((codec.channels(), codec.factor()), (48, 4));
    for (h, w) in [(6, 8), (8, 7)] {
        let refusal = text(codec.encode(&video(0, 1, 2, h, w)?));
        assert!(
            refusal.contains(&format!("[1, 2, 3, {h}, {w}]")) && refusal.contains("4 divides"),
            "{refusal}"
        );
    }
    let grey = Tensor::zeros((1, 2, 1, 8, 8), DType::F32, &DEVICE)?;
    assert!(text(codec.encode(&grey)).contains("[1, 2, 1, 8, 8] must have 3 colours"));
    let refusal = text(codec.decode(&Tensor::zeros((1, 48, 3, 2, 2), DType::F32, &DEVICE)?, 5));
    assert!(refusal.contains("3 latent frames") && refusal.contains("not 5"), "{refusal}");
    Ok(())
}

#[test]
fn a_factor_of_0_is_refused() -> Result<()> {
    let refusal = SpaceToDepth::new(&plain(0), empty().frozen()).expect_err("no block").to_string();
    assert!(refusal.contains("codec.factor is 0"), "{refusal}");
    assert!(SpaceToDepth::fit(&plain(0), &video(0, 1, 1, 8, 8)?).is_err());
    Ok(())
}
