//! Which times are trained and at which the sampler stops: distribution and grid, both shifted.

use cola_random::{normals, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::shift::{Shift, VideoSize, shifted};

/// How training times are drawn before the shift.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TimeDistribution {
    /// Uniform in `[0, 1000)`.
    Uniform,
    /// [`logit_normal`] with location 0 and scale 1 (all Open-Sora v1.2 training configurations).
    LogitNormal,
}

/// Times for training and sampling.
///
/// ```
/// use cola_flow::{Shift, TimeConfig, TimeDistribution};
///
/// let time = TimeConfig { distribution: TimeDistribution::Uniform, shift: Shift::None };
/// assert_eq!(time.draw_with(1.0, &[0.0, 0.25]), [0.0, 250.0]);
/// assert_eq!(time.grid(4, 1.0), [1000.0, 750.0, 500.0, 250.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeConfig {
    /// Distribution before the shift.
    pub distribution: TimeDistribution,
    /// The shift, for training times and for the sampler's grid alike.
    pub shift: Shift,
}

impl TimeConfig {
    /// Open-Sora v1.2: logit-normal, shifted by resolution. Latent frames are counted as they are; the published count
    /// of chunks is [`Shift::OpenSora`].
    pub fn open_sora_v1_2() -> Self {
        Self { distribution: TimeDistribution::LogitNormal, shift: Shift::Resolution(1.0) }
    }

    /// The shift's ratio for a video of this size, see [`Shift::ratio`].
    pub fn ratio(&self, size: VideoSize) -> f64 {
        self.shift.ratio(size)
    }

    /// One training time in `[0, 1000]` for each sample: a pure function of (seed, step, sample).
    pub fn draw(&self, ratio: f64, seed: u64, step: u64, samples: &[u64]) -> Vec<f32> {
        let draws: Vec<f64> = samples
            .iter()
            .map(|&sample| {
                let mut rng = stream(seed, "time", step, sample);
                match self.distribution {
                    TimeDistribution::Uniform => rng.random::<f64>(),
                    TimeDistribution::LogitNormal => f64::from(normals(1, &mut rng)[0]),
                }
            })
            .collect();
        self.draw_with(ratio, &draws)
    }

    /// The training times `[0, 1000]` that these draws stand for: numbers in `[0, 1)` for the uniform distribution,
    /// standard normal ones for the logit-normal.
    pub fn draw_with(&self, ratio: f64, draws: &[f64]) -> Vec<f32> {
        draws
            .iter()
            .map(|&draw| match self.distribution {
                TimeDistribution::Uniform => draw,
                TimeDistribution::LogitNormal => sigmoid(draw),
            })
            .map(|u| (1000.0 * shifted(u, ratio)) as f32)
            .collect()
    }

    /// The sampler's times `t_i = 1000 (1 - i/n)`, shifted, from exactly 1000 down; the end (0) is not listed.
    pub fn grid(&self, steps: usize, ratio: f64) -> Vec<f64> {
        (0..steps).map(|i| 1000.0 * shifted(1.0 - i as f64 / steps as f64, ratio)).collect()
    }
}

/// The logit-normal time `1000 sigmoid(loc + scale normal)` in `[0, 1000]` of a standard normal draw, before any shift.
///
/// ```
/// assert_eq!(cola_flow::logit_normal(0.0, 0.0, 1.0), 500.0);
/// assert_eq!(cola_flow::logit_normal(-0.25, 0.5, 2.0), 500.0);
/// ```
pub fn logit_normal(normal: f64, loc: f64, scale: f64) -> f64 {
    1000.0 * sigmoid(loc + scale * normal)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
