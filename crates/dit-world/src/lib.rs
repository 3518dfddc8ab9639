//! The video world model: Open-Sora v1.2's diffusion transformer (STDiT3) in the paper's form.
//!
//! Ported: patch embedding, spatial and temporal blocks with query/key norm, rotary time embedding, per-frame choice
//! between the modulation of time `t` and of time 0, final layer with its quirk. Dropped: text (caption embedder and
//! cross-attention). Added: causal temporal attention, and a latent action for each frame whose modulation is *added* to
//! the time's in every block (action AdaLN, paper 3.3, B.2).
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_dit_world::{Conditions, DitConfig, DitWorld};
//! use cola_flow::Given;
//! use cola_nn::Params;
//!
//! # fn main() -> candle_core::Result<()> {
//! let config = DitConfig::tiny();
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let dit = DitWorld::new(&config, params.trainable())?;
//! let x = Tensor::zeros((1, config.in_channels, 2, 4, 4), DType::F32, &Device::Cpu)?; // (B, C, T, H, W)
//! let t = Tensor::new(&[500f32], &Device::Cpu)?;
//! let given = Given::first(1, 2, 1, &Device::Cpu)?;
//! let velocity = dit.forward(&x, &t, Some(&given), &Conditions::new(None, 1.0, 32, 32))?;
//! assert_eq!(velocity.dims(), [1, config.out_channels(), 2, 4, 4]);
//! # Ok(())
//! # }
//! ```
//!
//! Parts: [`DitConfig`], [`DitWorld`], [`DitBlock`], [`Modulation`], [`ActionConditioner`]; [`LatentCodec`] with
//! [`SpaceToDepth`], the fixed latents of small configurations; [`WorldModel`] for rollouts. Times, noise and loss are
//! `cola-flow`'s; where actions come from is `cola-lam`'s business.

mod action;
mod alignment;
mod block;
mod codec;
mod conditions;
mod config;
mod embed;
mod flops;
mod history;
mod last;
mod model;
mod modulation;
mod patch;
mod pretrained;
mod published;
mod rollout;
mod text;
mod world;

pub use action::ActionConditioner;
pub use alignment::{Alignment, AlignmentError};
pub use block::{Axis, DitBlock};
pub use codec::{CodecConfig, LatentCodec, SpaceToDepth, VaeCodec};
pub use conditions::Conditions;
pub use config::{ActionConfig, ConfigError, DitConfig, TextConfig};
pub use embed::{ScalarEmbed, TimeRows, position_table};
pub use flops::Workload;
pub use history::{Continuation, History, HistoryRefusal};
pub use last::FinalLayer;
pub use model::DitWorld;
pub use modulation::Modulation;
pub use patch::{Grid, PatchEmbed, unpatchify};
pub use pretrained::{Form, Pretrained};
pub use published::{Additions, PublishedConfig};
pub use rollout::{HistoryUse, RolloutConfig, RolloutError};
pub use text::{CaptionEmbed, Captions, CrossAttention, Text};
pub use world::WorldModel;
