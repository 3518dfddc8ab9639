//! The parts of the program `lam`.

pub mod args;
pub mod codes;
pub mod encode;
pub mod health;
pub mod model;
pub mod probe;
pub mod sheet;
pub mod survey;
pub mod train;
