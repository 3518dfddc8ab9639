//! The latent action model: what happened between two frames, as one of `codes^tokens` discrete actions.
//!
//! - [`Idm`], the inverse dynamics model, reads a clip and writes `tokens` continuous tokens for each transition;
//! - [`VectorQuantizer`] replaces each token by the nearest row of one shared codebook, or [`ScalarQuantizer`] rounds it;
//! - [`Fdm`], the forward dynamics model, predicts the next frame from a frame and a latent action. Only the two-stage
//!   recipe has it: in joint training the video world model takes its place.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_lam::{CodebookUsage, Fdm, LamConfig, LatentActionModel};
//! use cola_nn::Params;
//!
//! # fn main() -> candle_core::Result<()> {
//! let (config, params) = (LamConfig::tiny(), Params::seeded(0, DType::F32, &Device::Cpu));
//! let model = LatentActionModel::new(&config, params.trainable())?;
//! let fdm = Fdm::new(&config, params.trainable())?;
//! let video = Tensor::rand(0f32, 1f32, (2, 3, 3, 32, 32), &Device::Cpu)?; // two clips of three frames
//! let actions = model.infer(&video)?;
//! assert_eq!(actions.codes.dims(), [2, 2, 2]); // clips, transitions, tokens
//! assert_eq!(actions.embedding.dims(), [2, 2, 64]);
//! let loss = (fdm.loss(&video, &actions.embedding, 0.0)? + actions.losses.total(&config)?)?;
//! assert!(loss.backward()?.get(params.get(cola_lam::CODEBOOK).unwrap().as_tensor()).is_some());
//! assert!(CodebookUsage::of(&actions.codes, config.codes)?.pooled().max_usage <= 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! Transition `t` leads from frame `t` to frame `t + 1`; the action of that name belongs to the frame that it produces.
//!
//! Parts: [`LamConfig`]; [`LatentActionModel`] with [`Actions`] and [`VqLosses`]; [`Fdm`]; [`CodebookUsage`] with
//! [`Usage`] and [`UsageReport`], which tell a healthy codebook from a collapsed one, and [`HealthMonitor`], which says
//! so; [`TokenSpread`]; [`QuantizerConfig`], [`Codebook`], [`CodeRestart`] and [`rows_from_tokens`], which keep it healthy;
//! [`SlidingActions`] for videos longer than a clip; [`codebook_version`]. The architecture is the one of villa-X, whose
//! sizes and parameter counts fit every number that CoLA-World prints about its latent action model. [`Readout::Prompt`]
//! is the other reading of public code, made of [`PromptEncoder`] and [`PromptDecoder`], and [`VariationalActionModel`]
//! its form with a continuous action.
//!
//! Optimizers, training loops, crops and clips are elsewhere; parameters and layers are in `cola-nn`.

mod config;
mod error;
mod fdm;
mod health;
mod idm;
mod model;
mod patch;
mod pooled;
mod precision;
mod prompt;
mod quantize;
mod restart;
mod slide;
mod spread;
mod usage;
mod usage_report;
mod version;

pub use config::{CodeInit, CodeUpdate, LamConfig, QuantizerConfig, Readout, TokenGradient};
pub use error::ConfigError;
pub use fdm::Fdm;
pub use health::{Finding, HealthLimits, HealthMonitor, Place, Symptom};
pub use idm::Idm;
pub use model::{Actions, LatentActionModel};
pub use patch::Pixels;
pub use prompt::{
    ActionInput, Posterior, PromptConfig, PromptDecoder, PromptEncoder, VariationalActionModel,
    VariationalConfig, VariationalLosses,
};
pub use quantize::{
    CLUSTER_SIZE, CODEBOOK, Codebook, EMBED_AVG, Quantizer, ScalarQuantizer, VectorQuantizer, VqLosses,
};
pub use restart::{CodeRestart, replace_rows, rows_from_tokens};
pub use slide::{ActionSequence, SlidingActions};
pub use spread::TokenSpread;
pub use usage::{CodebookUsage, Usage};
pub use usage_report::{UsageFigures, UsageReport};
pub use version::codebook_version;
