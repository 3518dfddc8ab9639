//! The same operations on a GPU: kernels of this crate, launched on candle's device and stream.
//!
//! The kernels are in `cuda/*.cu` beside `src`; what each moves and how it is launched stands there. Storage is f32 or
//! bf16, arithmetic f32. Nothing adds atomically, so results are the same to the last bit from run to run.
//!
//! [`adamw`] and [`nearest()`] serve crates upstairs, the others the operations of this one. Tests run all kernels on
//! the host, see `cuda/emulate`.

#![allow(
    dead_code,
    unused_imports,
    reason = "what is private is called by tests only until the operations have CUDA paths"
)]

pub(crate) mod activation;
pub mod adamw;
pub(crate) mod heads;
mod heads_long;
mod heads_short;
mod launch;
pub(crate) mod linear;
pub(crate) mod modulate;
mod nearest;
pub(crate) mod normalise;
mod operand;
mod signature;
mod sums;
#[cfg(test)]
mod tests;

pub use nearest::nearest;
pub(crate) use operand::{Operand, serves};
pub(crate) use sums::Table;
