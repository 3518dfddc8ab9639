//! What a run promises to those who leave it alone: one test for each promise, by its name.

#[path = "../training/support.rs"]
mod support;

mod accumulation;
mod budget;
mod coverage;
mod crash;
mod curve;
mod disk;
mod divergence;
mod elastic;
mod folder;
mod pickle;
mod resume;
mod rotate;
mod runs;
