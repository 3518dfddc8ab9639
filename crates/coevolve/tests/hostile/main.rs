//! Ten thousand hostile inputs: what is read from files never panics and never takes more memory than the files justify.

mod allocation;
mod checkpoint;
mod config;
mod mutate;
#[path = "../training/support.rs"]
mod support;
mod vast;
