//! The video VAE as a codec: pixel range, axes, both cuts, a rollout over four frames a latent.

mod support;

use candle_core::{Result, Tensor};
use cola_dit_world::{
    ActionConditioner, ActionConfig, DitConfig, DitWorld, HistoryUse, LatentCodec, RolloutConfig, VaeCodec,
    WorldModel,
};
use cola_flow::{SamplerConfig, TimeConfig};
use cola_random::{stream, uniforms};
use cola_video_vae::{Cut, VideoVae, VideoVaeConfig};
use support::{DEVICE, config, empty, flat, normal, randomise};

/// `(1, frames, 3, 16, 24)` in `[0, 1]`.
fn video(frames: usize) -> Result<Tensor> {
    let values = uniforms(frames * 3 * 16 * 24, 0.0, 1.0, &mut stream(2, "video", 0, 0));
    Tensor::from_vec(values, (1, frames, 3, 16, 24), &DEVICE)
}

fn vae() -> Result<VideoVae> {
    VideoVae::new(&VideoVaeConfig::tiny(), empty().frozen())
}

#[test]
fn pixels_go_in_around_zero_with_channels_first() -> Result<()> {
    let vae = vae()?;
    for (cut, frames, per_latent) in [(Cut::Frames, 3, 1), (Cut::Chunks, 9, 4)] {
        let codec = VaeCodec::new(vae.clone(), cut);
        assert_eq!((codec.channels(), codec.factor(), codec.frames_per_latent()), (4, 8, per_latent));
        // (B, 3, T, H, W) in [-1, 1], written out.
        let video = video(frames)?;
        let values = flat(&video)?;
        let turned: Vec<f32> = (0..3)
            .flat_map(|c| (0..frames).map(move |t| (c, t)))
            .flat_map(|(c, t)| values[(t * 3 + c) * 384..][..384].iter().map(|v| 2.0 * v - 1.0))
            .collect();
        let turned = Tensor::from_vec(turned, (1, 3, frames, 16, 24), &DEVICE)?;
        let latents = codec.encode(&video)?;
        assert_eq!(flat(&latents)?, flat(&vae.encode_mean(&turned, cut)?)?);
        assert_eq!(latents.dim(2)?, 1 + (frames - 1) / per_latent);
    }
    Ok(())
}

#[test]
fn pixels_come_out_between_zero_and_one_with_frames_first() -> Result<()> {
    let vae = vae()?;
    let codec = VaeCodec::new(vae.clone(), Cut::Frames);
    let latents = (normal("latents", (1, 4, 3, 2, 3))? * 40.0)?;
    let plain = flat(&vae.decode(&latents, 3, Cut::Frames)?)?;
    assert!(plain.iter().any(|v| v.abs() > 1.0), "nothing to clamp");
    let found = codec.decode(&latents, 3)?;
    assert_eq!(found.dims(), [1, 3, 3, 16, 24]);
    let found = flat(&found)?;
    for t in 0..3 {
        for c in 0..3 {
            for i in 0..384 {
                let expected = (0.5 * plain[(c * 3 + t) * 384 + i] + 0.5).clamp(0.0, 1.0);
                assert!((found[(t * 3 + c) * 384 + i] - expected).abs() < 1e-6, "frame {t}, colour {c}");
            }
        }
    }
    Ok(())
}

#[test]
fn worlds_of_both_rates_roll_out_over_the_vae() -> Result<()> {
    for (cut, frames_per_latent) in [(Cut::Frames, 1), (Cut::Chunks, 4)] {
        let action = ActionConfig { frames_per_latent, ..config().action };
        let config = DitConfig { in_channels: 4, patch: 1, action, ..config() };
        let params = empty();
        DitWorld::new(&config, params.trainable())?;
        ActionConditioner::new(&config, params.trainable())?;
        randomise(&params)?;
        let world = WorldModel {
            codec: Box::new(VaeCodec::new(vae()?, cut)),
            dit: DitWorld::new(&config, params.frozen())?,
            conditioner: ActionConditioner::new(&config, params.frozen())?,
        };
        let roll = |history| {
            let rollout = RolloutConfig {
                sampler: SamplerConfig { steps: 2, guidance: 2.0 },
                time: TimeConfig::open_sora_v1_2(),
                window: 3,
                context: 1,
                fps: 5.0,
                seed: 0,
                history,
            };
            world.rollout(&video(1)?, Some(&normal("actions", (1, 12, 5))?), 12, &[0], &rollout)
        };
        let video = roll(HistoryUse::WhenExact)?;
        assert_eq!(video.dims(), [1, 13, 3, 16, 24]);
        assert_eq!(flat(&video)?, flat(&roll(HistoryUse::Never)?)?);
    }
    Ok(())
}
