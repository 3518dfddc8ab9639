#![no_main]

libfuzzer_sys::fuzz_target!(init: cola_fuzz::begin("metrics_log"), |input: &[u8]| cola_fuzz::read(input));
