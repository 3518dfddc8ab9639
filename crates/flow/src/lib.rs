//! Rectified flow as Open-Sora v1.2 trains and samples it. Knows no network.
//!
//! The convention: time `t` runs from 0 (data) to 1000 (pure noise); with `s = t / 1000`,
//! `x_t = (1 - s) x_0 + s e`, and the network predicts the velocity `v = x_0 - e`, which points from noise to data.
//! Frames that are *given* (the history of a world model) stay clean: they enter with time 0 and bear no loss.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_flow::{Given, corrupt, velocity_loss};
//!
//! # fn main() -> candle_core::Result<()> {
//! let clean = Tensor::ones((1, 2, 3, 4, 4), DType::F32, &Device::Cpu)?; // (B, C, T, H, W)
//! let noise = clean.zeros_like()?;
//! let t = Tensor::new(&[500f32], &Device::Cpu)?;
//! let noised = corrupt(&clean, &noise, &t, &Given::first(1, 3, 1, &Device::Cpu)?)?;
//! assert_eq!(noised.x.flatten_all()?.to_vec1::<f32>()?[0], 1.0); // frame 0 is given
//! assert_eq!(noised.x.flatten_all()?.to_vec1::<f32>()?[16], 0.5); // frame 1 is half noise
//! let loss = velocity_loss(&noised.target, &noised)?; // a perfect prediction
//! assert_eq!(loss.to_vec1::<f32>()?, [0.0]);
//! # Ok(())
//! # }
//! ```
//!
//! The parts:
//!
//! - time: [`TimeConfig`] draws training times and makes the sampler's grid, [`Shift`] and [`transform`] move both towards
//!   noise by the size of the video, [`logit_normal`] is the distribution;
//! - training: [`Given`] says which frames are known, [`MaskConfig`] draws that as Open-Sora does, [`corrupt`] and
//!   [`velocity_loss`] are the objective, [`keep_mask`] drops actions for guidance;
//! - sampling: [`Sampler`] integrates any [`Velocity`] with [`guide`]d Euler steps, [`EditMask`] says how much of a frame
//!   is made anew.
//!
//! Whatever draws is a pure function of (seed, step, sample) and has a half that is handed its draws (`*_with`), so that
//! another program's draws can be put in. The network, the latents and the actions live upstairs.

mod edit;
mod error;
mod given;
mod guidance;
mod loss;
mod mask;
mod sampler;
mod shift;
mod time;

pub use edit::EditMask;
pub use error::ConfigError;
pub use given::Given;
pub use guidance::{guide, keep_mask, keep_mask_with};
pub use loss::{Noised, add_noise, corrupt, velocity_loss};
pub use mask::MaskConfig;
pub use sampler::{Guided, Sampler, SamplerConfig, SamplerStep, Velocity};
pub use shift::{Shift, VideoSize, transform};
pub use time::{TimeConfig, TimeDistribution, logit_normal};
