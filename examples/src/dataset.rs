//! The parts of the program `dataset`.

pub mod args;
pub mod codec;
pub mod convert;
pub mod draw;
pub mod encode;
pub mod inspect;
pub mod latents;
pub mod numbers;
pub mod sheet;
pub mod source;
pub mod summary;
pub mod validate;
