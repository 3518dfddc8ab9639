//! Reference files: what the public PyTorch implementations computed, and how closely a port must agree.
//!
//! A file holds `input.*`, `weight.*`, `output.*` and `grad.*` tensors and a configuration in its metadata. A test opens
//! the file, builds the module under test from the weights, compares outputs and gradients with [`Golden::compare`],
//! and asks for the [`Golden::verdict`]: one line, or every tensor that was out of tolerance.
//!
//! Files are looked for below `COLA_GOLDEN_DIR` if that is set (same layout), otherwise below the repository's own copy.
//! Each belongs to one package by folder and name; [`run`] and [`run_in_both`] make that package's `golden` test, [`orphans`] what none knows.
//!
//! ```
//! let files = cola_golden::files_of("cola-dit-world");
//! assert!(files.iter().any(|file| file.ends_with("block_paper_spatial.safetensors")));
//! ```

mod compare;
mod file;
mod owner;
mod run;

pub use compare::{Tolerance, gradients_cover};
pub use file::Golden;
pub use owner::{files_of, orphans, root};
pub use run::{run, run_in_both};
