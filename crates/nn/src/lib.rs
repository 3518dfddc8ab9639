//! Layers that stay differentiable and spend nothing on frozen weights; named, seeded parameters.
//!
//! Three promises, each held by tests:
//! - **No silent cut.** Several fused operations of candle return tensors without history. Nothing here uses them on a
//!   path that is trained: a gradient reaches every input and every parameter.
//! - **Frozen means frozen.** [`Params`] hands out two views of the same storage. A layer built over the frozen view
//!   passes gradients through and computes none for its weights.
//! - **Named and seeded.** A model's initial values depend on the seed and the parameters' names, not on the order in
//!   which it was built.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cola_nn::{Linear, Params};
//!
//! # fn main() -> candle_core::Result<()> {
//! let params = Params::seeded(0, DType::F32, &Device::Cpu);
//! let trained = Linear::new(4, 2, params.trainable().pp("layer"))?;
//! let frozen = Linear::new(4, 2, params.frozen().pp("layer"))?; // the same numbers, no gradient
//! let x = Tensor::ones((3, 4), DType::F32, &Device::Cpu)?;
//! let y = trained.forward(&x)?;
//! assert_eq!(y.dims(), [3, 2]);
//! assert_eq!(y.to_vec2::<f32>()?, frozen.forward(&x)?.to_vec2::<f32>()?);
//! assert_eq!(y.sum_all()?.backward()?.get_ids().count() > 0, true);
//! # Ok(())
//! # }
//! ```
//!
//! Parts: [`Params`], [`blueprint`]; [`Linear`], [`Mlp`], [`GatedMlp`]; [`LayerNorm`], [`RmsNorm`], [`layer_norm`], [`modulate`],
//! [`gate_add`]; [`attend`], [`attend_tokens`], [`SelfAttention`], [`Rope`]; [`CausalConv3d`], [`ResizeConv`],
//! [`FixedConv3d`], [`max_pool3d`], [`GroupNorm`];
//! [`add_rows`], [`split_rows`], [`sum_leading`]; [`nearest_code`]; [`recompute`]; the fixed tables of [`sinusoid`]; the
//! optimizer's step [`adamw`]. Models and losses live upstairs.
//!
//! On the CPU the functions here are fused operations over f32, or over bf16 that is computed with in f32: one pass
//! forward, one backward, results the same to the last bit on any number of threads. With the feature `cuda` most of them
//! are kernels of this crate on a CUDA device. Other devices, other dtypes and unusual shapes take candle's own
//! operations. Parameters stay f32 under bf16 tokens.

mod activation;
mod attention;
mod blueprint;
mod compute;
mod conv3d;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod fixed_conv;
mod group_norm;
mod head_norm;
mod header;
mod kernel;
mod linear;
mod max_pool;
mod mlp;
mod modulate;
mod nearest;
mod norm;
mod optim;
mod params;
mod pickle;
mod random;
mod recompute;
mod resize;
mod rope;
mod rows;
mod self_attention;
pub mod sinusoid;
mod split;
mod stored;

pub use activation::{gelu, gelu_erf, silu};
pub use attention::{attend, attend_tokens, merge_heads, split_heads};
pub use blueprint::blueprint;
pub use compute::{Compute, Precision};
pub use conv3d::CausalConv3d;
pub use error::Error;
pub use fixed_conv::{FixedConv3d, Padding};
pub use group_norm::GroupNorm;
pub use head_norm::HeadNorm;
pub use header::{Extent, Header, HeaderError};
pub use linear::{Linear, xavier};
pub use max_pool::max_pool3d;
pub use mlp::{GatedMlp, Mlp};
pub use modulate::{gate_add, modulate};
pub use nearest::nearest_code;
pub use norm::{LayerNorm, RmsNorm, layer_norm, rms_norm};
pub use optim::{AdamStep, AdamUpdate, Average, adamw, global_norm};
pub use params::{LoadReport, Params, save_tensors};
pub use pickle::is_pickle;
pub use random::{normal, normal_by_sample};
pub use recompute::recompute;
pub use resize::ResizeConv;
pub use rope::Rope;
pub use rows::{add_rows, sum_leading};
pub use self_attention::{SelfAttention, SelfAttentionConfig};
pub use split::split_rows;
pub use stored::read_tensors;
