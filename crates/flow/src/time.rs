//! Which times are trained and at which the sampler stops: distribution, shift, grid.

use cola_random::{normals, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How training times are drawn before the shift.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TimeDistribution {
    /// Uniform in `[0, 1000)`.
    Uniform,
    /// `1000 sigmoid(n)`, `n` standard normal (all Open-Sora v1.2 training configurations).
    LogitNormal,
}

/// The timestep transform `u' = r u / (1 + (r - 1) u)` with `u = t / 1000`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shift {
    /// No transform.
    None,
    /// A fixed ratio `r`. Small pictures need a large one (about 6), or the noised frame itself shows the answer.
    Fixed(f64),
    /// `r = scale sqrt(height width / 512²) sqrt(F)` with height and width in pixels and `F` the number of *latent*
    /// frames (1 for a single one). Open-Sora takes `F = floor(frames / 17) * 5`, which is the same for whole chunks
    /// of 17 frames and breaks down (0) below one chunk.
    Resolution(f64),
}

/// Times for training and sampling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeConfig {
    /// Distribution before the shift.
    pub distribution: TimeDistribution,
    /// The shift, for training times and for the sampler's grid alike.
    pub shift: Shift,
}

impl TimeConfig {
    /// Open-Sora v1.2: logit-normal, shifted by resolution.
    pub fn open_sora_v1_2() -> Self {
        Self { distribution: TimeDistribution::LogitNormal, shift: Shift::Resolution(1.0) }
    }

    /// The ratio of the shift for a video of `height x width` pixels and `latent_frames` latent frames.
    pub fn ratio(&self, height: usize, width: usize, latent_frames: usize) -> f64 {
        match self.shift {
            Shift::None => 1.0,
            Shift::Fixed(ratio) => ratio,
            Shift::Resolution(scale) => {
                ((height * width) as f64 / (512.0 * 512.0)).sqrt()
                    * (latent_frames.max(1) as f64).sqrt()
                    * scale
            }
        }
    }

    /// One training time in `[0, 1000]` for each sample: a pure function of (seed, step, sample).
    pub fn draw(&self, ratio: f64, seed: u64, step: u64, samples: &[u64]) -> Vec<f32> {
        samples
            .iter()
            .map(|&sample| {
                let mut rng = stream(seed, "time", step, sample);
                let u = match self.distribution {
                    TimeDistribution::Uniform => rng.random::<f64>(),
                    TimeDistribution::LogitNormal => {
                        1.0 / (1.0 + (-f64::from(normals(1, &mut rng)[0])).exp())
                    }
                };
                (1000.0 * shifted(u, ratio)) as f32
            })
            .collect()
    }

    /// The sampler's times `t_i = 1000 (1 - i/n)`, shifted, from exactly 1000 down; the end (0) is not listed.
    pub fn grid(&self, steps: usize, ratio: f64) -> Vec<f64> {
        (0..steps).map(|i| 1000.0 * shifted(1.0 - i as f64 / steps as f64, ratio)).collect()
    }
}

/// `r u / (1 + (r - 1) u)`; 1 stays exactly 1.
fn shifted(u: f64, ratio: f64) -> f64 {
    if u >= 1.0 { 1.0 } else { ratio * u / (1.0 + (ratio - 1.0) * u) }
}
