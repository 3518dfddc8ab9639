//! Training as a whole: phases, resuming, wrong input.

mod bad_input;
mod phases;
mod resume;
mod support;
