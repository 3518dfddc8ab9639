//! Reference values of the public implementations: pixels, perceptual distance, I3D, Fréchet distance.

mod filler;
mod perceptual;

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-metrics", |golden| {
        // Files of published weights have no configuration; their name tells what they are.
        match golden.config()["kind"].as_str().unwrap_or_else(|| golden.name()) {
            "pairs" => perceptual::compare_pairs(golden),
            "lpips_taps" => perceptual::compare_taps(golden),
            "filler_lpips" => perceptual::compare_filler(golden),
            heads if heads.starts_with("lpips_lin_") => perceptual::compare_heads(golden),
            kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
        }
    });
}
