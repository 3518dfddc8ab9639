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
//! Parts: [`Params`]; [`Linear`], [`Mlp`], [`GatedMlp`]; [`LayerNorm`], [`RmsNorm`], [`layer_norm`], [`modulate`],
//! [`gate_add`]; [`attend`], [`attend_tokens`], [`SelfAttention`], [`Rope`]; the fixed tables of [`sinusoid`]. Models,
//! losses and optimizers live upstairs.
//!
//! On the CPU in f32 the functions here are fused operations: one pass forward, one backward, results the same to the
//! last bit on any number of threads. Other devices, other dtypes and unusual shapes take candle's own operations.

mod activation;
mod attention;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod kernel;
mod linear;
mod mlp;
mod modulate;
mod norm;
mod params;
mod random;
mod rope;
pub mod sinusoid;

pub use activation::{gelu, silu};
pub use attention::{
    HeadNorm, SelfAttention, SelfAttentionConfig, attend, attend_tokens, merge_heads, split_heads,
};
pub use error::Error;
pub use linear::{Linear, xavier};
pub use mlp::{GatedMlp, Mlp};
pub use modulate::{gate_add, modulate};
pub use norm::{LayerNorm, RmsNorm, layer_norm, rms_norm};
pub use params::{LoadReport, Params, read_tensors, save_tensors};
pub use random::{normal, normal_by_sample};
pub use rope::Rope;
