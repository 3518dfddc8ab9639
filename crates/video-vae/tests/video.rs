//! Videos: how they are cut, that the cuts leave no trace, noise, refusals.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::normal;
use cola_video_vae::{Cut, InputError, Noise, VideoVae, VideoVaeConfig};
use support::{learns, numbers, params};

const CUTS: [Cut; 2] = [Cut::Chunks, Cut::Frames];

fn tiny() -> Result<VideoVae> {
    VideoVae::new(&VideoVaeConfig::tiny(), params().frozen())
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
}

fn noise(vae: &VideoVae, [b, frames, h, w]: [usize; 4], cut: Cut) -> Result<Noise> {
    Ok(Noise {
        images: numbers("images", &[b * frames, 4, h, w])?,
        latents: numbers("latents", &[b, 4, vae.latent_frames(frames, cut), h, w])?,
    })
}

#[test]
fn no_bit_depends_on_the_micro_batch() -> Result<()> {
    let video = numbers("video", &[2, 3, 19, 16, 8])?;
    for cut in CUTS {
        let run = |micro_batch| -> Result<[Vec<u32>; 3]> {
            let config = VideoVaeConfig { micro_batch, ..VideoVaeConfig::tiny() };
            let vae = VideoVae::new(&config, params().frozen())?;
            let z = vae.encode_with(&video, cut, &noise(&vae, [2, 19, 2, 1], cut)?)?;
            Ok([bits(&z)?, bits(&vae.encode_mean(&video, cut)?)?, bits(&vae.decode(&z, 19, cut)?)?])
        };
        let expected = run(1)?;
        for micro_batch in [2, 3, 4, 38, 1000] {
            assert!(run(micro_batch)? == expected, "{cut:?}, {micro_batch} at a time");
        }
    }
    Ok(())
}

#[test]
fn every_number_of_frames_comes_back() -> Result<()> {
    let vae = tiny()?;
    for (frames, latents) in [(1, 1), (2, 1), (5, 2), (16, 4), (17, 5), (18, 6), (21, 6), (34, 10)] {
        let video = numbers("video", &[1, 3, frames, 8, 8])?;
        for (cut, latents) in [(Cut::Chunks, latents), (Cut::Frames, frames)] {
            let z = vae.encode_mean(&video, cut)?;
            assert_eq!(z.dims(), [1, 4, latents, 1, 1], "{frames} frames, {cut:?}");
            assert_eq!(vae.latent_frames(frames, cut), latents);
            assert_eq!(vae.decode(&z, frames, cut)?.dims(), video.dims(), "{frames} frames, {cut:?}");
        }
    }
    Ok(())
}

#[test]
fn a_frame_by_itself_is_a_video_of_one() -> Result<()> {
    let vae = tiny()?;
    let video = numbers("video", &[2, 3, 5, 16, 8])?;
    let z = vae.encode_mean(&video, Cut::Frames)?;
    let decoded = vae.decode(&z, 5, Cut::Frames)?;
    for frame in 0..5 {
        let own = vae.encode_mean(&video.narrow(2, frame, 1)?, Cut::Chunks)?;
        assert!(bits(&own)? == bits(&z.narrow(2, frame, 1)?)?, "frame {frame}");
        let again = vae.decode(&own, 1, Cut::Chunks)?;
        assert!(bits(&again)? == bits(&decoded.narrow(2, frame, 1)?)?, "frame {frame}");
    }
    Ok(())
}

#[test]
fn the_last_chunk_knows_nothing_of_the_first() -> Result<()> {
    let vae = tiny()?;
    let video = numbers("video", &[1, 3, 20, 8, 16])?;
    let z = vae.encode_mean(&video, Cut::Chunks)?;
    let decoded = vae.decode(&z, 20, Cut::Chunks)?;
    let last = vae.encode_mean(&video.narrow(2, 17, 3)?, Cut::Chunks)?;
    assert!(bits(&last)? == bits(&z.narrow(2, 5, 1)?)?);
    assert!(bits(&vae.decode(&last, 3, Cut::Chunks)?)? == bits(&decoded.narrow(2, 17, 3)?)?);
    Ok(())
}

#[test]
fn noise_moves_each_posterior_by_itself() -> Result<()> {
    let vae = tiny()?;
    let video = numbers("video", &[1, 3, 5, 8, 16])?;
    for cut in CUTS {
        let given = noise(&vae, [1, 5, 1, 2], cut)?;
        let silent = |x: &Tensor| x.zeros_like();
        let mean = bits(&vae.encode_mean(&video, cut)?)?;
        let none = Noise { images: silent(&given.images)?, latents: silent(&given.latents)? };
        let of_images = Noise { latents: none.latents.clone(), ..given.clone() };
        let of_latents = Noise { images: none.images.clone(), ..given.clone() };
        let run = |noise: &Noise| bits(&vae.encode_with(&video, cut, noise)?);
        assert!(run(&none)? == mean);
        let runs = [mean, run(&of_images)?, run(&of_latents)?, run(&given)?];
        for (first, second) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            assert!(runs[first] != runs[second], "{cut:?}: {first} and {second}");
        }
    }
    Ok(())
}

#[test]
fn a_sample_is_a_function_of_its_generator() -> Result<()> {
    let vae = tiny()?;
    let video = numbers("video", &[2, 3, 5, 8, 8])?;
    for cut in CUTS {
        let draw = |seed| bits(&vae.encode(&video, cut, &mut cola_random::stream(seed, "vae", 0, 0))?);
        assert!(draw(0)? == draw(0)?);
        assert!(draw(0)? != draw(1)?);
        // First the images' noise, then the latents'.
        let mut rng = cola_random::stream(0, "vae", 0, 0);
        let mut normal = |shape: &[usize]| normal(shape, &Device::Cpu, &mut rng);
        let images = normal(&[10, 4, 1, 1])?;
        let latents = normal(&[2, 4, vae.latent_frames(5, cut), 1, 1])?;
        assert!(draw(0)? == bits(&vae.encode_with(&video, cut, &Noise { images, latents })?)?);
    }
    Ok(())
}

#[test]
fn every_trainable_variable_learns_and_no_frozen_one() -> Result<()> {
    for (trains, cut) in [(true, Cut::Chunks), (false, Cut::Chunks), (true, Cut::Frames)] {
        let params = params();
        let config = VideoVaeConfig { micro_batch: 2, ..VideoVaeConfig::tiny() };
        let vae = VideoVae::new(&config, params.builder(trains))?;
        let video = Var::from_tensor(&numbers("video", &[1, 3, 6, 16, 24])?)?;
        let z = vae.encode_with(&video, cut, &noise(&vae, [1, 6, 2, 3], cut)?)?;
        let loss = (vae.decode(&z, 6, cut)? - video.as_tensor())?.sqr()?.sum_all()?;
        learns(&loss, &video, &params, trains)?;
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_its_mend() -> Result<()> {
    let vae = tiny()?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    for cut in CUTS {
        for (shape, words) in [
            (&[1, 3, 2, 1, 1][..], "multiples of 8 and at least 8"),
            (&[1, 3, 2, 20, 16], "20 x 16 pixels"),
            (&[1, 5, 3, 16, 16], "takes 3"),
            (&[1, 3, 0, 16, 16], "one frame"),
            (&[3, 2, 16, 16], "(samples, channels, frames, height, width)"),
        ] {
            let video = zeros(shape)?;
            let mut rng = cola_random::stream(0, "vae", 0, 0);
            let errors = [vae.encode_mean(&video, cut), vae.encode(&video, cut, &mut rng)];
            for error in errors {
                let error = error.expect_err("refused").to_string();
                assert!(error.contains(words), "{shape:?}: {error}");
            }
        }
        for (shape, frames, words) in [
            (&[1, 4, 3, 2, 2][..], 4, "4 frames cannot come from 3 latents"),
            (&[1, 4, 1, 2, 2], 0, "decode with the number of frames that was encoded"),
            (&[1, 8, 1, 2, 2], 1, "takes 4"),
            (&[1, 4, 1, 0, 2], 1, "at least 1"),
            (&[1, 4, 0, 2, 2], 1, "one frame"),
            (&[4, 1, 2, 2], 1, "(samples, channels, frames, height, width)"),
        ] {
            let error = vae.decode(&zeros(shape)?, frames, cut).expect_err("refused").to_string();
            assert!(error.contains(words), "{shape:?}: {error}");
        }
        let noise = noise(&vae, [1, 2, 2, 2], cut)?;
        let error =
            vae.encode_with(&zeros(&[1, 3, 3, 16, 16])?, cut, &noise).expect_err("refused").to_string();
        assert!(error.contains("image noise") && error.contains("[3, 4, 2, 2]"), "{error}");
    }
    Ok(())
}

#[test]
fn inputs_can_be_checked_without_computing() -> Result<()> {
    let vae = tiny()?;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    assert_eq!(vae.check_video(&zeros(&[1, 3, 2, 8, 16])?), Ok(()));
    let sides = InputError::Sides { height: 9, width: 16, unit: 8 };
    assert_eq!(vae.check_video(&zeros(&[1, 3, 2, 9, 16])?), Err(sides));
    assert_eq!(vae.check_latents(&zeros(&[1, 4, 5, 1, 1])?, 17, Cut::Chunks), Ok(()));
    let frames = InputError::Frames { frames: 17, expected: 17, found: 5 };
    assert_eq!(vae.check_latents(&zeros(&[1, 4, 5, 1, 1])?, 17, Cut::Frames), Err(frames));
    Ok(())
}
