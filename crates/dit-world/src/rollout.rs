//! How a rollout is drawn.

use cola_flow::{SamplerConfig, TimeConfig};

use crate::alignment::Alignment;

/// Whether a window's history is computed once or at every step of the sampler; see [`crate::History`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryUse {
    /// Once where that is exact, which it is for every causal model: to the last bit in f32 on the CPU, up to rounding
    /// elsewhere.
    #[default]
    WhenExact,
    /// At every step.
    Never,
    /// Once, or not at all.
    Always,
}

/// How a rollout is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutConfig {
    /// Euler steps and guidance.
    pub sampler: SamplerConfig,
    /// Times as in training.
    pub time: TimeConfig,
    /// Latent frames that the model sees at once, as in training; at most 5 with four frames a latent.
    pub window: usize,
    /// Clean latent frames kept as history when a rollout outgrows the window; at most `window - 1`.
    pub context: usize,
    /// Frames per second of the video.
    pub fps: f64,
    /// Noise is a pure function of (seed, window index, sample).
    pub seed: u64,
    /// Computes a window's history once.
    pub history: HistoryUse,
}

/// A rollout that cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// No room for new frames, or no history.
    #[error("a window of {window} latent frames cannot keep {context} as history; keep 1 to {} of them", window.saturating_sub(1))]
    Context {
        /// Latent frames of the window.
        window: usize,
        /// Those of the history.
        context: usize,
    },
    /// A start that leaves no room in the first window.
    #[error(
        "a start of {known} latent frames fills a window of {window}; give a shorter start or a longer window"
    )]
    Start {
        /// Latent frames of the start.
        known: usize,
        /// Latent frames of the window.
        window: usize,
    },
    /// More than the VAE encodes together.
    #[error(
        "a window of {window} latent frames of four video frames each is longer than the VAE's chunk; take at most 5"
    )]
    Window {
        /// Latent frames of the window.
        window: usize,
    },
}

impl RolloutConfig {
    /// Refuses windows that cannot be filled.
    ///
    /// # Errors
    /// The numbers, and what would do.
    pub fn check(&self, alignment: Alignment) -> Result<(), RolloutError> {
        let Self { window, context, .. } = *self;
        if context == 0 || context >= window {
            return Err(RolloutError::Context { window, context });
        }
        if alignment.frames_per_latent() > 1
            && alignment.latent_frames(alignment.video_frames(window)).is_err()
        {
            return Err(RolloutError::Window { window });
        }
        Ok(())
    }
}
