//! The parts of the program `lam`.

pub mod args;
pub mod codes;
pub mod health;
pub mod model;
pub mod sheet;
pub mod survey;
pub mod train;
