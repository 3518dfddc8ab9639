//! Measurements on held-out clips; what a frozen latent action says of the real one, and the way back.

pub(crate) mod adapter;
mod error;
mod evaluate;
mod held_out;
mod pairs;
pub(crate) mod probe;
mod quantiles;
mod recipe;

pub use error::StudyError;
pub use evaluate::{Evaluation, Pictures, Scores, evaluate};
pub use held_out::{HeldOut, Sensitivity, forward_sensitivity, sensitivity};
pub use pairs::ActionPairs;
pub use quantiles::Quantiles;
pub use recipe::Recipe;
