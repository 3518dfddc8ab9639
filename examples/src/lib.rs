//! What the example programs share: arguments, sources, console, logs and figures.

pub mod args;
pub mod compare;
pub mod console;
pub mod dashboard;
pub mod dataset;
pub mod display;
pub mod download;
pub mod evaluate;
pub mod figures;
pub mod folder;
pub mod gallery;
pub mod generator;
pub mod kill_test;
pub mod lam;
pub mod logs;
pub mod news;
pub mod outlook;
pub mod output;
pub mod quantities;
pub mod rollout;
pub mod signals;
pub mod sources;
pub mod training;

/// The README's program, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
