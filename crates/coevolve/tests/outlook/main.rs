//! What a run is said to take before its first step, against what it takes.

mod counts;
mod first;
mod measured;
mod refusal;
mod words;
