//! Codec, transformer and action conditioner together: imagine frames from a start and actions.

use candle_core::{Result, Tensor};
use cola_flow::{Given, Sampler, SamplerConfig, TimeConfig, VideoSize};
use cola_nn::normal_by_sample;

use crate::action::ActionConditioner;
use crate::codec::LatentCodec;
use crate::model::{Conditions, DitWorld};

/// How a rollout is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutConfig {
    /// Euler steps and guidance.
    pub sampler: SamplerConfig,
    /// Times as in training.
    pub time: TimeConfig,
    /// Latent frames that the model sees at once, as in training.
    pub window: usize,
    /// Clean latent frames kept as history when a rollout outgrows the window; at most `window - 1`.
    pub context: usize,
    /// Transitions that one latent frame spans.
    pub frames_per_latent: usize,
    /// Frames per second of the video.
    pub fps: f64,
    /// Noise is a pure function of (seed, window index, sample).
    pub seed: u64,
}

/// The world model: codec, diffusion transformer, action conditioner.
pub struct WorldModel {
    /// Pixels to latents.
    pub codec: Box<dyn LatentCodec + Send + Sync>,
    /// Latents and time to velocity.
    pub dit: DitWorld,
    /// Latent actions to modulations.
    pub conditioner: ActionConditioner,
}

impl WorldModel {
    /// Continues `start` under `actions`, window by window. Build the parts over frozen parameters: with trainable ones
    /// the graph of every step is kept.
    ///
    /// # Shapes
    /// - `start`: `(B, k, 3, H, W)` in `[0, 1]`, `k >= 1`
    /// - `actions`: `(B, N, action_dim)`, one for each transition of the result, those within `start` included; `None`
    ///   for a model without actions, which then continues by `transitions`
    /// - `samples`: `B` global sample indices that key the noise
    /// - returns `(B, N + 1, 3, H, W)` in `[0, 1]`; the first `k` frames are `start` through the codec
    ///
    /// # Errors
    /// A window that leaves nothing to generate, transitions that fill no whole latent frames, a start longer than the
    /// result, shapes that do not fit.
    pub fn rollout(
        &self,
        start: &Tensor,
        actions: Option<&Tensor>,
        transitions: usize,
        samples: &[u64],
        config: &RolloutConfig,
    ) -> Result<Tensor> {
        let (b, _, _, height, width) = start.dims5()?;
        let g = config.frames_per_latent;
        if g == 0 || !transitions.is_multiple_of(g) {
            candle_core::bail!("{transitions} transitions do not fill latent frames of {g} transitions each");
        }
        if samples.len() != b {
            candle_core::bail!("{} sample indices for a batch of {b}", samples.len());
        }
        let mut latents = self.codec.encode(start)?;
        let (_, channels, known, h, w) = latents.dims5()?;
        let total = 1 + transitions / g;
        if known > total {
            candle_core::bail!("a start of {known} latent frames is longer than a rollout of {total}");
        }
        if config.context == 0 || config.context >= config.window {
            candle_core::bail!(
                "a window of {} latent frames cannot keep {} as history",
                config.window,
                config.context
            );
        }
        let frames = 1 + (config.window - 1) * g;
        let size = VideoSize { height, width, frames, latent_frames: config.window };
        let sampler = Sampler::new(config.sampler, &config.time, config.time.ratio(size));
        let mut round = 0;
        while latents.dim(2)? < total {
            let known = latents.dim(2)?;
            let context = config.context.min(known);
            let fresh = (config.window - context).min(total - known);
            let history = latents.narrow(2, known - context, context)?;
            let noise = normal_by_sample(
                &[channels, fresh, h, w],
                config.seed,
                "rollout",
                round,
                samples,
                start.device(),
            )?
            .to_dtype(history.dtype())?;
            let window = Tensor::cat(&[&history, &noise], 2)?;
            let given = Given::first(b, context + fresh, context, start.device())?;
            let conditions = |rows| Conditions::new(rows, config.fps, height, width);
            let (with, without) = match actions {
                Some(actions) => {
                    let shown = actions.narrow(1, (known - context) * g, (context + fresh - 1) * g)?;
                    let rows = self.conditioner.forward(&shown)?;
                    (conditions(Some(rows)), conditions(Some(self.conditioner.unconditional(&shown)?)))
                }
                None => (conditions(None), conditions(None)),
            };
            let sampled = sampler.sample(&self.dit, &window, &window, &given, &with, &without)?;
            latents = Tensor::cat(&[&latents, &sampled.narrow(2, context, fresh)?], 2)?;
            round += 1;
        }
        self.codec.decode(&latents, transitions + 1)
    }
}
