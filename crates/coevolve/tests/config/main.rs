//! Configurations: files, overrides, paths, what a run starts from and what may change when it goes on.

mod begin;
mod explained;
mod keys;
mod paths;
mod presets;
mod resumed;
#[path = "../training/support.rs"]
mod support;
