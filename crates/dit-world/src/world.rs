//! Codec, transformer and action conditioner together: imagine frames from a start and actions.

use candle_core::{Result, Tensor};
use cola_flow::{Given, Sampler, SamplerConfig, VideoSize};
use cola_nn::normal_by_sample;

use crate::action::ActionConditioner;
use crate::alignment::Alignment;
use crate::codec::LatentCodec;
use crate::conditions::Conditions;
use crate::history::Continuation;
use crate::model::DitWorld;
use crate::rollout::{HistoryUse, RolloutConfig, RolloutError};
use crate::watch::{RolloutEvent, Watch, Watched, told};

/// The world model: codec, diffusion transformer, action conditioner.
pub struct WorldModel {
    /// Pixels to latents.
    pub codec: Box<dyn LatentCodec + Send + Sync>,
    /// Latents and time to velocity.
    pub dit: DitWorld,
    /// Latent actions to modulations.
    pub conditioner: ActionConditioner,
}

/// One rollout: what stays the same from window to window.
struct Run<'a> {
    sampler: Sampler,
    /// `(B, N, action_dim)`.
    actions: Option<&'a Tensor>,
    samples: &'a [u64],
    alignment: Alignment,
    size: (usize, usize),
    config: &'a RolloutConfig,
    watch: Watch<'a>,
}

impl WorldModel {
    /// Continues `start` under `actions`, window by window. Build the parts over frozen parameters: with trainable ones
    /// the graph of every step is kept.
    ///
    /// With one frame a latent the last latents are kept as the next window's history, without decoding. With four, a
    /// latent frame that stands for four frames cannot come first, so the last frames are decoded and encoded again.
    ///
    /// # Shapes
    /// - `start`: `(B, k, 3, H, W)` in `[0, 1]`, `k >= 1`, with four frames a latent `k = 1 + 4 j <= 17`
    /// - `actions`: `(B, N, action_dim)`, one for each transition of the result, those within `start` included; `None`
    ///   for a model without actions, which then continues by `transitions`
    /// - `samples`: `B` global sample indices that key the noise
    /// - returns `(B, N + 1, 3, H, W)` in `[0, 1]`; the first `k` frames are `start` through the codec
    ///
    /// # Errors
    /// A window that leaves nothing to generate, transitions that fill no whole latent frames, a start longer than the
    /// result, a history that must be used and is not exact, shapes that do not fit.
    pub fn rollout(
        &self,
        start: &Tensor,
        actions: Option<&Tensor>,
        transitions: usize,
        samples: &[u64],
        config: &RolloutConfig,
    ) -> Result<Tensor> {
        self.rollout_watched(start, actions, transitions, samples, config, &|_| {})
    }

    /// [`WorldModel::rollout`], telling `watch` what is being done. Watching changes no bit.
    ///
    /// # Errors
    /// As [`WorldModel::rollout`].
    pub fn rollout_watched(
        &self,
        start: &Tensor,
        actions: Option<&Tensor>,
        transitions: usize,
        samples: &[u64],
        config: &RolloutConfig,
        watch: &dyn Fn(RolloutEvent),
    ) -> Result<Tensor> {
        let (b, frames, _, height, width) = start.dims5()?;
        let alignment = Alignment::new(self.codec.frames_per_latent()).map_err(candle_core::Error::wrap)?;
        let trained = self.dit.config().action.frames_per_latent;
        if alignment.frames_per_latent() != trained {
            candle_core::bail!(
                "the codec has {} frames a latent, the model was made for {trained}; set \
                 dit.action.frames_per_latent to the codec's",
                alignment.frames_per_latent()
            );
        }
        let total = if transitions == 0 {
            1
        } else {
            alignment.behind(transitions).map_err(candle_core::Error::wrap)?
        };
        if frames != 1 {
            alignment.latent_frames(frames).map_err(candle_core::Error::wrap)?;
        }
        if samples.len() != b {
            candle_core::bail!("{} sample indices for a batch of {b}", samples.len());
        }
        config.check(alignment).map_err(candle_core::Error::wrap)?;
        if let Some(actions) = actions.filter(|actions| actions.dims().get(1) != Some(&transitions)) {
            let shape = actions.dims();
            candle_core::bail!("actions of shape {shape:?} for {transitions} transitions; give one for each");
        }
        // Without actions both branches of guidance would be the same.
        let guidance = if actions.is_some() { config.sampler.guidance } else { 1.0 };
        let sampler = SamplerConfig { guidance, ..config.sampler };
        let video = VideoSize {
            height,
            width,
            frames: alignment.video_frames(config.window),
            latent_frames: config.window,
        };
        let run = Run {
            sampler: Sampler::new(sampler, &config.time, config.time.ratio(video)),
            actions,
            samples,
            alignment,
            size: (height, width),
            config,
            watch,
        };
        let latents = self.encode(start, &run)?;
        let known = latents.dim(2)?;
        if known > total {
            candle_core::bail!("a start of {known} latent frames is longer than a rollout of {total}");
        }
        if alignment.frames_per_latent() > 1 && known < total && known >= config.window {
            let window = config.window;
            return Err(candle_core::Error::wrap(RolloutError::Start { known, window }));
        }
        if alignment.frames_per_latent() == 1 {
            self.in_latents(latents, total, &run)
        } else {
            self.in_frames(latents, total, &run)
        }
    }

    /// The history of a window is the last latents of the one before.
    fn in_latents(&self, mut latents: Tensor, total: usize, run: &Run<'_>) -> Result<Tensor> {
        let mut round = 0;
        while latents.dim(2)? < total {
            let known = latents.dim(2)?;
            let context = run.config.context.min(known);
            let fresh = (run.config.window - context).min(total - known);
            let history = latents.narrow(2, known - context, context)?;
            let new = self.window(&history, fresh, known - context, round, run)?;
            latents = Tensor::cat(&[&latents, &new], 2)?;
            round += 1;
        }
        self.decode(&latents, total, run)
    }

    /// The history of a window is the last frames of the one before, encoded again.
    fn in_frames(&self, mut window: Tensor, total: usize, run: &Run<'_>) -> Result<Tensor> {
        let alignment = run.alignment;
        let mut known = window.dim(2)?;
        let mut videos: Vec<Tensor> = Vec::new();
        let mut round = 0;
        loop {
            let context = window.dim(2)?;
            let fresh = (run.config.window - context).min(total - known);
            if fresh > 0 {
                let new = self.window(&window, fresh, known - context, round, run)?;
                window = Tensor::cat(&[&window, &new], 2)?;
                known += fresh;
            }
            let count = alignment.video_frames(window.dim(2)?);
            let video = self.decode(&window, count, run)?;
            // What the history stood for is there already.
            let repeated = if round == 0 { 0 } else { alignment.video_frames(context) };
            videos.push(video.narrow(1, repeated, count - repeated)?);
            if known == total {
                return Tensor::cat(&videos, 1);
            }
            let kept = alignment.video_frames(run.config.context.min(window.dim(2)?));
            window = self.encode(&video.narrow(1, count - kept, kept)?.contiguous()?, run)?;
            round += 1;
        }
    }

    fn encode(&self, video: &Tensor, run: &Run<'_>) -> Result<Tensor> {
        let event = RolloutEvent::Encode { frames: video.dim(1)? };
        told(run.watch, event, || self.codec.encode(video))
    }

    fn decode(&self, latents: &Tensor, frames: usize, run: &Run<'_>) -> Result<Tensor> {
        told(run.watch, RolloutEvent::Decode { frames }, || self.codec.decode(latents, frames))
    }

    /// `fresh` latent frames behind `history` `(B, C, c, h, w)`, whose first frame is latent frame `first` of the rollout.
    fn window(
        &self,
        history: &Tensor,
        fresh: usize,
        first: usize,
        round: u64,
        run: &Run<'_>,
    ) -> Result<Tensor> {
        let (b, channels, context, h, w) = history.dims5()?;
        let device = history.device();
        let config = run.config;
        let noise =
            normal_by_sample(&[channels, fresh, h, w], config.seed, "rollout", round, run.samples, device)?
                .to_dtype(history.dtype())?;
        let given = Given::first(b, context + fresh, context, device)?;
        let conditions = |rows| Conditions::new(rows, config.fps, run.size.0, run.size.1);
        let guided = run.sampler.config().guidance != 1.0;
        let (with, without) = match run.actions {
            Some(actions) => {
                let seen = run.alignment.within(first, context + fresh);
                let shown = actions.narrow(1, seen.start, seen.len())?;
                let rows = self.conditioner.forward(&shown)?;
                let dropped = guided.then(|| self.conditioner.unconditional(&shown)).transpose()?;
                (conditions(Some(rows.clone())), conditions(Some(dropped.unwrap_or(rows))))
            }
            None => (conditions(None), conditions(None)),
        };
        let remembers = match (config.history, self.dit.leading(&given)?) {
            (HistoryUse::Never, _) | (HistoryUse::WhenExact, Err(_)) => false,
            (_, Ok(_)) => true,
            (HistoryUse::Always, Err(refusal)) => return Err(candle_core::Error::wrap(refusal)),
        };
        if remembers {
            let context_of = |conditions: &Conditions| -> Result<_> {
                let event = RolloutEvent::Remember { frames: context };
                let past = told(run.watch, event, || {
                    self.dit.remember(history, &conditions.frames(0, context)?, None)
                })?;
                Ok((past, conditions.frames(context, fresh)?))
            };
            let with = context_of(&with)?;
            let without = if guided { context_of(&without)? } else { with.clone() };
            let all = Given::first(b, fresh, 0, device)?;
            let event = RolloutEvent::Evaluate { frames: fresh, behind: context };
            let field = Watched { field: &Continuation(&self.dit), event, watch: run.watch };
            return run.sampler.sample(&field, &noise, &noise, &all, &with, &without);
        }
        let window = Tensor::cat(&[history, &noise], 2)?;
        let event = RolloutEvent::Evaluate { frames: context + fresh, behind: 0 };
        let field = Watched { field: &self.dit, event, watch: run.watch };
        run.sampler.sample(&field, &window, &window, &given, &with, &without)?.narrow(2, context, fresh)
    }
}
