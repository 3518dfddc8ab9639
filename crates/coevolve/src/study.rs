//! Measurements on held-out clips.

mod evaluate;
mod held_out;

pub use evaluate::{Evaluation, Pictures, Scores, evaluate};
pub use held_out::{HeldOut, Sensitivity, sensitivity};
