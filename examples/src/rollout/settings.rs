//! Every number of a rollout, decided before anything heavy is read.

use anyhow::{Context, Result, bail};
use cola_dit_world::{Alignment, AlignmentError, HistoryUse, RolloutConfig};
use cola_flow::SamplerConfig;
use serde_json::{Value, json};

use crate::rollout::args::{RolloutArgs, Size};
use crate::rollout::origin::{Kind, Origin};

/// Side of the frames of random tiny models, pixels.
const TINY_SIDE: usize = 64;
/// Largest side of a square that an MP4 takes, pixels.
const LARGEST_SIDE: usize = 2160;
/// Latent frames of a window where each stands for four frames: a chunk of the VAE.
const CHUNK: usize = 5;

/// A rollout with every number decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Side of the frames, pixels.
    pub side: usize,
    /// Frames of the video.
    pub frames: usize,
    /// Latent frames of the video.
    pub latents: usize,
    /// How it is drawn.
    pub rollout: RolloutConfig,
    frames_per_latent: usize,
}

impl Settings {
    /// Arguments, and the model's own values where they say nothing. `actions` is the number of actions in a file.
    ///
    /// # Errors
    /// Frames that do not line up, a window that cannot be filled, sides that the codec does not divide, guidance
    /// towards nothing, numbers out of range.
    pub fn decide(args: &RolloutArgs, origin: &Origin, actions: Option<usize>) -> Result<Self> {
        let (usual, kind) = (&origin.usual, &origin.kind);
        let full = matches!(kind, Kind::Random { size: Size::Xl, .. });
        let frames_per_latent = origin.dit.action.frames_per_latent;
        let alignment = Alignment::new(frames_per_latent).context("--frames-per-latent")?;
        let frames = args.frames.or(actions.map(|count| count + 1)).unwrap_or_else(|| {
            let transitions = if full { 1 } else { usual.evaluation.horizon };
            1 + transitions.next_multiple_of(frames_per_latent)
        });
        let latents = line_up(frames, alignment)?;
        if let Some(count) = actions.filter(|count| count + 1 != frames) {
            bail!(
                "--actions holds {count} actions, --frames {frames} takes {}, one for each transition; leave --frames \
                 out, or give {}",
                frames - 1,
                count + 1
            );
        }

        let window = args.window.unwrap_or(match kind {
            Kind::Run(_) => usual.data.frames,
            _ if frames_per_latent > 1 => latents.min(CHUNK),
            _ => latents.min(usual.data.frames),
        });
        let context = args.context.unwrap_or(usual.flow.given_max.min(window.saturating_sub(1)));
        let acts = actions.is_some() || args.random_actions;
        let guidance = args.guidance.unwrap_or(match kind {
            Kind::Random { .. } => 1.0,
            _ if acts => usual.evaluation.guidance,
            _ => 1.0,
        });
        if guidance != 1.0 && !acts {
            bail!(
                "--guidance {guidance}: there are no actions to be guided towards; give --actions or --random-actions, or \
                 leave it out"
            );
        }
        let steps = args.steps.unwrap_or(if full { 1 } else { usual.evaluation.steps });
        if steps == 0 {
            bail!("--steps 0: expected at least 1");
        }
        let fps = args.fps.unwrap_or(usual.data.fps);
        if !(0.01..=1000.0).contains(&fps) {
            bail!("--fps {fps}: expected 0.01 to 1000");
        }
        let side = args.side.unwrap_or(match kind {
            Kind::Random { size: Size::Tiny, .. } => TINY_SIDE,
            _ => usual.data.world_size,
        });
        if side > LARGEST_SIDE {
            bail!("--side {side}: videos are written with sides of at most {LARGEST_SIDE} pixels");
        }
        let factor = origin.factor();
        if side == 0 || !side.is_multiple_of(factor) {
            bail!(
                "--side {side}: the model's latents stand for {factor} x {factor} pixels; expected a multiple, such as {}",
                side.next_multiple_of(factor).max(factor)
            );
        }
        let rollout = RolloutConfig {
            sampler: SamplerConfig { steps, guidance },
            time: usual.flow.time,
            window,
            context,
            fps,
            seed: args.seed,
            history: match kind {
                Kind::Random { .. } => HistoryUse::Never,
                _ => HistoryUse::WhenExact,
            },
        };
        rollout.check(alignment).context("--window, --context")?;
        Ok(Self { side, frames, latents, rollout, frames_per_latent })
    }

    /// How often the transformer will be asked.
    pub fn evaluations(&self) -> usize {
        let RolloutConfig { sampler, window, context, .. } = self.rollout;
        let (mut known, mut windows) = (1, 0);
        while known < self.latents {
            known += window - context.min(known);
            windows += 1;
        }
        windows * sampler.steps * if sampler.guidance == 1.0 { 1 } else { 2 }
    }

    /// For `rollout.json`.
    pub fn json(&self) -> Value {
        let RolloutConfig { sampler, time, window, context, fps, seed, history } = self.rollout;
        json!({
            "side": self.side,
            "frames": self.frames,
            "frames_per_latent": self.frames_per_latent,
            "latent_frames": self.latents,
            "steps": sampler.steps,
            "guidance": sampler.guidance,
            "time": time,
            "window": window,
            "context": context,
            "fps": fps,
            "seed": seed,
            "history_computed_once": history != HistoryUse::Never,
        })
    }
}

/// Refuses what the arguments alone show to be wrong, before a model is even fetched.
///
/// # Errors
/// Frames that do not line up.
pub fn check_frames(args: &RolloutArgs) -> Result<()> {
    let alignment = Alignment::new(args.frames_per_latent.unwrap_or(1)).context("--frames-per-latent")?;
    args.frames.map_or(Ok(()), |frames| line_up(frames, alignment).map(drop))
}

/// Latent frames of a video of any length.
fn line_up(frames: usize, alignment: Alignment) -> Result<usize> {
    // Within one chunk the refusal can name frames; a rollout may be longer than that.
    let refusal = |refusal: AlignmentError| match alignment.latent_frames(frames) {
        Err(of_frames) if frames <= alignment.video_frames(CHUNK) => of_frames,
        _ => refusal,
    };
    alignment
        .behind(frames.saturating_sub(1))
        .map_err(refusal)
        .with_context(|| format!("--frames {frames} at {} frames a latent", alignment.frames_per_latent()))
}
