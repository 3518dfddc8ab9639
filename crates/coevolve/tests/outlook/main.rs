//! What a run is said to take before its first step, against what it takes.

mod counts;
mod first;
mod measured;
mod refusal;
mod words;

/// As in the programs: what an allocator holds back is part of what a run takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
