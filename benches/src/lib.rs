//! Home of the benchmark suite: `layers.rs` beside `src` times the layers alone, and [`cases`] are the cases that
//! `reference/compare.py` times beside PyTorch's, through the program `side`.

pub mod cases;
pub mod memory;
