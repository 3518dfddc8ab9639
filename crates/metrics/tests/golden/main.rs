//! Reference values of the public implementations: pixels, perceptual distance, I3D, Fréchet distance.

mod filler;
mod frechet;
mod i3d;
mod perceptual;
mod pixels;

use cola_metrics::I3d;

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-metrics", |golden| {
        // Files of published weights have no configuration; their name tells what they are.
        match golden.config()["kind"].as_str().unwrap_or_else(|| golden.name()) {
            "i3d" => i3d::compare(golden),
            "filler_i3d" => filler::compare(golden, "", &Vec::from_iter(I3d::tensors())),
            "frechet" => frechet::compare(golden),
            "lpips_taps" => perceptual::compare_taps(golden),
            "filler_lpips" => perceptual::compare_filler(golden),
            heads if heads.starts_with("lpips_lin_") => perceptual::compare_heads(golden),
            "pairs" => {
                pixels::compare_pairs(golden)?;
                perceptual::compare_pairs(golden)
            }
            kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
        }
    });
}
