//! Reference values of the public implementations: pixels, perceptual distance, I3D, Fréchet distance.

mod filler;
mod i3d;

use cola_metrics::I3d;

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-metrics", |golden| {
        // Files of published weights have no configuration; their name tells what they are.
        match golden.config()["kind"].as_str().unwrap_or_else(|| golden.name()) {
            "i3d" => i3d::compare(golden),
            "filler_i3d" => filler::compare(golden, "", &Vec::from_iter(I3d::tensors())),
            kind => candle_core::bail!("there is no comparison for files of kind `{kind}`"),
        }
    });
}
