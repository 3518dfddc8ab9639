//! Checkpoints on disk: opened, refused, loaded, saved.

mod config;
mod hostile;
mod load;
mod open;
mod resolve;
mod save;
mod support;
