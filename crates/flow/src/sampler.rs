//! From noise to data: guided Euler steps, given frames held clean.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::guidance::guide;
use crate::loss::Given;
use crate::time::TimeConfig;

/// A velocity field, e.g. a world model under some condition.
pub trait Velocity {
    /// What the field is conditioned on.
    type Context;

    /// The velocity at `x` `(B, C, T, H, W)` and times `t` `(B)` in `[0, 1000]`; given frames have time 0. More than `C`
    /// channels may come back; the first `C` are the velocity.
    ///
    /// # Errors
    /// The network's.
    fn velocity(&self, x: &Tensor, t: &Tensor, given: &Given, context: &Self::Context) -> Result<Tensor>;
}

/// Steps and guidance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerConfig {
    /// Euler steps; the paper takes 10.
    pub steps: usize,
    /// Guidance scale; the paper takes 4.0. At 1.0 the unconditional branch is not computed.
    pub guidance: f64,
}

/// Integrates a velocity field from noise (t = 1000) to data (t = 0). Deterministic.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    times: Vec<f64>,
}

impl Sampler {
    /// `ratio` is the shift's ratio for the size of the video, see [`TimeConfig::ratio`].
    pub fn new(config: SamplerConfig, time: &TimeConfig, ratio: f64) -> Self {
        Self { config, times: time.grid(config.steps, ratio) }
    }

    /// Generates the frames that are not given.
    ///
    /// # Shapes
    /// `noise` and `clean` `(B, C, T, H, W)`; only the given frames of `clean` are read. Returns the same shape, without
    /// history if the field's weights are frozen.
    ///
    /// # Errors
    /// The field's.
    pub fn sample<V: Velocity>(
        &self,
        field: &V,
        noise: &Tensor,
        clean: &Tensor,
        given: &Given,
        with: &V::Context,
        without: &V::Context,
    ) -> Result<Tensor> {
        let (b, channels, _, _, _) = noise.dims5()?;
        let mut z = given.choose(noise, clean)?;
        for (i, &time) in self.times.iter().enumerate() {
            let t = Tensor::full(time as f32, b, noise.device())?;
            let conditional = field.velocity(&z, &t, given, with)?.narrow(1, 0, channels)?;
            let velocity = if self.config.guidance == 1.0 {
                conditional
            } else {
                let unconditional = field.velocity(&z, &t, given, without)?.narrow(1, 0, channels)?;
                guide(&conditional, &unconditional, self.config.guidance)?
            };
            let dt = (time - self.times.get(i + 1).copied().unwrap_or(0.0)) / 1000.0;
            z = given.choose(&(&z + (velocity.to_dtype(z.dtype())? * dt)?)?, &z)?;
        }
        Ok(z)
    }
}
