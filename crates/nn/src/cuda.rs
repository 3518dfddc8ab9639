//! The same operations on a GPU: kernels of this crate, launched on candle's device and stream.
//!
//! The kernels are in `cuda/*.cu` beside `src`; what each moves and how it is launched stands there. Storage is f32 or
//! bf16, arithmetic f32. Nothing adds atomically, so results are the same to the last bit from run to run.
//!
//! Each operation calls its part from `cuda_fwd` and `bwd`. Tests run all kernels on the host, see `cuda/emulate`.

pub(crate) mod activation;
pub(crate) mod adamw;
pub(crate) mod heads;
mod heads_long;
mod heads_short;
mod launch;
pub(crate) mod linear;
pub(crate) mod modulate;
mod nearest;
pub(crate) mod normalise;
mod operand;
mod product;
mod signature;
mod sums;

pub(crate) use nearest::nearest;
pub(crate) use operand::Operand;
pub(crate) use sums::Table;
