//! Training as a whole: phases, resuming, wrong input, types of activations.

mod bad_input;
mod cache;
mod compute;
mod feeding;
mod health;
mod phases;
mod remedies;
mod resume;
mod support;
mod two_stage;
