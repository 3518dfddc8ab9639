#![no_main]

libfuzzer_sys::fuzz_target!(init: cola_fuzz::begin("mp4_av1"), |input: &[u8]| cola_fuzz::read(input));
