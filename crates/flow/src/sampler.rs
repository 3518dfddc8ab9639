//! From noise to data: guided Euler steps, given frames held clean, edited frames joining in later.

use candle_core::{Result, Tensor};
use cola_random::{normals, stream};
use serde::{Deserialize, Serialize};

use crate::edit::EditMask;
use crate::given::Given;
use crate::guidance::guide;
use crate::loss::add_noise;
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

/// A field with its condition and with what stands for no condition.
#[derive(Debug)]
pub struct Guided<'a, V: Velocity> {
    /// The field.
    pub field: &'a V,
    /// The condition.
    pub with: &'a V::Context,
    /// No condition; not asked for at guidance 1.
    pub without: &'a V::Context,
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

/// One step as an observer sees it, after the field has answered and before `x` moves.
#[derive(Debug)]
pub struct SamplerStep<'a> {
    /// From 0.
    pub index: usize,
    /// The time, the same for all clips: `(B)` f32.
    pub t: &'a Tensor,
    /// What the field was asked at, `(B, C, T, H, W)`: frames that join in at this step have their noise.
    pub x: &'a Tensor,
    /// Which frames move at this step.
    pub active: &'a Given,
    /// The field's velocity under the condition, `(B, C, T, H, W)`, before guidance.
    pub with: &'a Tensor,
    /// That under none; absent at guidance 1.
    pub without: Option<&'a Tensor>,
}

/// Integrates a velocity field from noise (t = 1000) to data (t = 0) along the grid of [`TimeConfig::grid`].
///
/// Each step adds `v dt / 1000`, `v` the guided velocity ([`guide`]) and `dt` the way to the next time, from the last one
/// to 0. The result is a function of the arguments alone, and a clip's does not depend on the clips beside it unless the
/// field's does.
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor};
/// use cola_flow::{Given, Sampler, SamplerConfig, TimeConfig, Velocity};
///
/// struct Constant;
/// impl Velocity for Constant {
///     type Context = f64;
///     fn velocity(&self, x: &Tensor, _t: &Tensor, _given: &Given, context: &f64) -> Result<Tensor> {
///         x.zeros_like()? + *context
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let noise = Tensor::zeros((1, 1, 2, 1, 1), DType::F32, &Device::Cpu)?;
/// let clean = (noise.ones_like()? * 9.0)?;
/// let given = Given::first(1, 2, 1, &Device::Cpu)?;
/// let config = SamplerConfig { steps: 4, guidance: 4.0 };
/// let sampler = Sampler::new(config, &TimeConfig::open_sora_v1_2(), 1.0);
/// let z = sampler.sample(&Constant, &noise, &clean, &given, &3.0, &1.0)?;
/// assert_eq!(z.flatten_all()?.to_vec1::<f32>()?, [9.0, 9.0]); // frame 0 is given, frame 1 is 0 + (1 + 4 (3 - 1))
/// # Ok(())
/// # }
/// ```
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

    /// Steps and guidance.
    pub fn config(&self) -> SamplerConfig {
        self.config
    }

    /// The times of the steps, from 1000 down.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Generates the frames that are not given.
    ///
    /// # Shapes
    /// `noise` and `clean` `(B, C, T, H, W)`; only the given frames of `clean` are read. Returns the same shape, without
    /// history if the field's weights are frozen.
    ///
    /// # Errors
    /// As [`Sampler::sample_edit_with`].
    pub fn sample<V: Velocity>(
        &self,
        field: &V,
        noise: &Tensor,
        clean: &Tensor,
        given: &Given,
        with: &V::Context,
        without: &V::Context,
    ) -> Result<Tensor> {
        let z = given.choose(noise, clean)?;
        let guided = Guided { field, with, without };
        let no_noise = |_| candle_core::bail!("a frame that is neither kept nor generated from the start");
        self.sample_edit_with(&guided, &z, &EditMask::from_given(given)?, no_noise, |_| Ok(()))
    }

    /// Generates and edits frames; the noise of step `i` is a pure function of (seed, `i`, sample).
    ///
    /// # Shapes
    /// `z` `(B, C, T, H, W)`: noise where the mask is 1, the frames to keep or to edit elsewhere; `samples`: `B` global
    /// sample indices. Returns the shape of `z`.
    ///
    /// # Errors
    /// Another number of samples than clips; as [`Sampler::sample_edit_with`].
    pub fn sample_edit<V: Velocity>(
        &self,
        guided: &Guided<'_, V>,
        z: &Tensor,
        mask: &EditMask,
        seed: u64,
        samples: &[u64],
    ) -> Result<Tensor> {
        let (b, c, t, h, w) = z.dims5()?;
        if samples.len() != b {
            candle_core::bail!("{} sample indices for a batch of {b}", samples.len());
        }
        let noise = |step: usize| {
            let values: Vec<f32> = samples
                .iter()
                .flat_map(|&sample| normals(c * t * h * w, &mut stream(seed, "edit", step as u64, sample)))
                .collect();
            Tensor::from_vec(values, z.shape(), z.device())?.to_dtype(z.dtype())
        };
        self.sample_edit_with(guided, z, mask, noise, |_| Ok(()))
    }

    /// Generates and edits frames with the noise that is handed in, and shows every step to `observe`.
    ///
    /// At each step the frames that are [`EditMask::active`] move. One that was not so at the step before and is not
    /// noise from the start first gets noise for the current time ([`add_noise`]). All others are held bit for bit, and
    /// are told to the field as given.
    ///
    /// # Shapes
    /// `z` `(B, C, T, H, W)`: noise where the mask is 1, the frames to keep or to edit elsewhere. `noise(i)` is the noise
    /// of step `i`, of the same shape; it is asked for at the steps at which some frame joins in. Returns the shape of `z`.
    ///
    /// # Errors
    /// No steps, a mask for another number of clips or frames, the field's, those of `noise` and `observe`.
    pub fn sample_edit_with<V: Velocity>(
        &self,
        guided: &Guided<'_, V>,
        z: &Tensor,
        mask: &EditMask,
        mut noise: impl FnMut(usize) -> Result<Tensor>,
        mut observe: impl FnMut(&SamplerStep<'_>) -> Result<()>,
    ) -> Result<Tensor> {
        let (b, channels, frames, _, _) = z.dims5()?;
        if self.times.is_empty() {
            candle_core::bail!("a sampler of 0 steps");
        }
        let mask = mask.for_batch(b, frames)?;
        let mut z = z.clone();
        let mut noised = mask.generated();
        for (index, &time) in self.times.iter().enumerate() {
            let t = Tensor::full(time as f32, b, z.device())?;
            let active = mask.active(time);
            let joins: Vec<bool> =
                active.iter().zip(&noised).map(|(active, noised)| *active && !noised).collect();
            if joins.contains(&true) {
                z = mask.given(&joins, z.device())?.choose(&add_noise(&z, &noise(index)?, &t)?, &z)?;
            }
            let given = mask.given(&active, z.device())?;
            noised = active;
            let ask = |context| guided.field.velocity(&z, &t, &given, context)?.narrow(1, 0, channels);
            let with = ask(guided.with)?;
            let without = (self.config.guidance != 1.0).then(|| ask(guided.without)).transpose()?;
            observe(&SamplerStep {
                index,
                t: &t,
                x: &z,
                active: &given,
                with: &with,
                without: without.as_ref(),
            })?;
            let velocity = match &without {
                Some(without) => guide(&with, without, self.config.guidance)?,
                None => with,
            };
            let dt = (time - self.times.get(index + 1).copied().unwrap_or(0.0)) / 1000.0;
            z = given.choose(&(&z + (velocity.to_dtype(z.dtype())? * dt)?)?, &z)?;
        }
        Ok(z)
    }
}
