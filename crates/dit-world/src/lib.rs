//! The video world model: Open-Sora v1.2's diffusion transformer (STDiT3), as published and in the paper's form.
//!
//! The *reference form* is the published model: spatial and temporal blocks with query/key norm, rotary time embedding,
//! cross-attention to text, per-frame choice between the modulation of time `t` and of time 0, final layer with its
//! quirk. The *paper form* drops text, makes temporal attention causal, and adds to the time's modulation that of a latent
//! action, frame by frame, in every block (action AdaLN, paper 3.3, B.2).
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_dit_world::{
//!     ActionConditioner, CodecConfig, DitConfig, DitWorld, HistoryUse, RolloutConfig, SpaceToDepth, WorldModel,
//! };
//! use cola_flow::{SamplerConfig, TimeConfig};
//! use cola_nn::Params;
//!
//! # fn main() -> candle_core::Result<()> {
//! let config = DitConfig::tiny();
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let world = WorldModel {
//!     codec: Box::new(SpaceToDepth::new(&CodecConfig { factor: 4, whiten: 0.5 }, params.frozen())?),
//!     dit: DitWorld::new(&config, params.frozen())?,
//!     conditioner: ActionConditioner::new(&config, params.frozen())?,
//! };
//! let start = Tensor::full(0.5f32, (1, 1, 3, 32, 32), &Device::Cpu)?; // (B, k, 3, H, W) in [0, 1]
//! let actions = Tensor::zeros((1, 5, config.action.action_dim), DType::F32, &Device::Cpu)?;
//! let rollout = RolloutConfig {
//!     sampler: SamplerConfig { steps: 10, guidance: 4.0 },
//!     time: TimeConfig::open_sora_v1_2(),
//!     window: 4,
//!     context: 1,
//!     fps: 5.0,
//!     seed: 0,
//!     history: HistoryUse::WhenExact,
//! };
//! let video = world.rollout(&start, Some(&actions), 5, &[0], &rollout)?;
//! println!("{:?}", video.dims()); // [1, 6, 3, 32, 32]
//! # assert_eq!(video.dims(), [1, 6, 3, 32, 32]);
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | for | here |
//! |---|---|
//! | sizes | [`DitConfig`], [`TextConfig`], [`ActionConfig`]; [`DitConfig::flops`] |
//! | latents and a time to a velocity | [`DitWorld`] under [`Conditions`] |
//! | what it is made of | [`PatchEmbed`], [`ScalarEmbed`], [`TimeRows`], [`Modulation`], [`DitBlock`], [`FinalLayer`] |
//! | text features as a condition | [`Captions`], [`CaptionEmbed`], [`CrossAttention`] |
//! | latent actions as a condition | [`ActionConditioner`], [`Alignment`] |
//! | clean frames that are computed once | [`History`], [`Continuation`] |
//! | pixels to latents | [`LatentCodec`]: [`VaeCodec`], [`SpaceToDepth`] for small pictures |
//! | imagined videos | [`WorldModel`], [`RolloutConfig`] |
//! | published checkpoints | [`Pretrained`], [`Form`], [`PublishedConfig`] |
//!
//! Times, noise, loss and sampler are `cola-flow`'s; where actions come from is `cola-lam`'s business. There is no text
//! encoder: text features come in as a tensor.

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
mod watch;
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
pub use watch::RolloutEvent;
pub use world::WorldModel;
