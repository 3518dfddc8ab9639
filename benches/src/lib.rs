//! Home of the benchmark suite; the benchmarks themselves are the files beside `src`, one for each group.
