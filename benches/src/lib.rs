//! Home of the benchmark suite: the files beside `src` time kernels, layers, blocks and steps alone; [`cases`] are the
//! cases that `reference/compare.py` times beside PyTorch's, through the program `side`.
//!
//! A bench is a list of [`Layer`]s handed to a [`Suite`], which checks each against its plain form, times it with
//! criterion and states its speed as a share of what the machine gives ([`Peak`]).

pub mod cases;
mod layer;
mod peak;
mod scene;
mod suite;

pub use layer::{Forward, Layer};
pub use peak::{Peak, copy};
pub use scene::Scene;
pub use suite::{Amount, Place, Ready, Suite};

/// As in the example programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
