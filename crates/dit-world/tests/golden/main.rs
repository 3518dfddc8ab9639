//! Open-Sora v1.2's own numbers, forward and backward.

mod blocks;
mod layers;
mod losses;
mod models;
mod samples;
mod support;

#[test]
fn every_reference_file_agrees() {
    cola_golden::run_in_both("cola-dit-world", |golden| {
        let name = golden.name();
        let starts = |kinds: &[&str]| kinds.iter().any(|kind| name.starts_with(kind));
        if starts(&["block_spatial_", "block_temporal_", "block_paper_"]) {
            blocks::block(golden)
        } else if starts(&["block_"]) {
            layers::layer(golden)
        } else if starts(&["model_paper_causality"]) {
            models::causality(golden)
        } else if starts(&["model_paper_", "model_reference_"]) {
            models::model(golden)
        } else if starts(&["rf_training_loss_"]) {
            losses::loss(golden)
        } else if starts(&["rf_sample_"]) {
            samples::sample(golden)
        } else {
            candle_core::bail!("there is no comparison for files of this name")
        }
    });
}
