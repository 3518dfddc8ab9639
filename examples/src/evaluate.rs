//! What the program `evaluate` is made of: pairs of clips come in, tables and pictures go out.

pub mod args;
pub mod episodes;
pub mod folders;
pub mod open;
pub mod outcome;
pub mod pair;
pub mod pictures;
pub mod rollouts;
