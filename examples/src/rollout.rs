//! What the program `rollout` is made of: where a model comes from, how a rollout is set up, watched and shown.

pub mod actions;
pub mod args;
pub mod clock;
pub mod model;
pub mod origin;
pub mod settings;
pub mod start;
pub mod summary;
