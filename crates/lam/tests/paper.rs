//! The paper's sizes, counted without allocating them.

use std::collections::BTreeMap;

use candle_core::{Result, Shape};
use cola_lam::{
    CODEBOOK, Fdm, Idm, LamConfig, LatentActionModel, Readout, VariationalActionModel, VariationalConfig,
};
use cola_nn::blueprint;

/// Numbers in all parameters whose names start so.
fn count(shapes: &BTreeMap<String, Shape>, start: &str) -> usize {
    shapes.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, shape)| shape.elem_count()).sum()
}

#[test]
fn the_idm_has_124_million_parameters_and_the_codebook_1024() -> Result<()> {
    let config = LamConfig::paper();
    let shapes = blueprint(|vb| LatentActionModel::new(&config, vb))?;
    assert_eq!(count(&shapes, "encoder."), 123_946_016);
    assert_eq!(count(&shapes, CODEBOOK), 1_024);
    assert_eq!(count(&shapes, ""), 123_946_016 + 1_024);
    assert_eq!(count(&shapes, "encoder.embed."), 452_352);
    for layer in 0..12 {
        assert_eq!(count(&shapes, &format!("encoder.layers.{layer}.")), 9_452_288, "block {layer}");
    }
    assert_eq!(count(&shapes, "encoder.layers."), 12 * 9_452_288);
    assert_eq!(count(&shapes, "encoder.norm."), 768);
    assert_eq!(count(&shapes, "encoder.map_block."), 10_065_440);
    Ok(())
}

#[test]
fn the_fdm_has_114_million_parameters() -> Result<()> {
    let config = LamConfig::paper();
    let shapes = blueprint(|vb| Fdm::new(&config, vb))?;
    assert_eq!(count(&shapes, ""), 114_361_164);
    assert_eq!(count(&shapes, "decoder.embed."), 452_352);
    assert_eq!(count(&shapes, "decoder.action_embed."), 49_920);
    for layer in 0..12 {
        assert_eq!(count(&shapes, &format!("decoder.layers.{layer}.")), 9_450_496, "block {layer}");
    }
    assert_eq!(count(&shapes, "decoder.layers."), 12 * 9_450_496);
    assert_eq!(count(&shapes, "decoder.norm."), 768);
    assert_eq!(count(&shapes, "decoder.pred_head."), 452_172);
    Ok(())
}

/// What is quoted for this reading are the two transformers, AdaWorld's: with `encoder.out`, without the prompt, the
/// layer that makes mean and variance of it, and the decoder's input projections.
#[test]
fn transformers_of_the_prompt_reading_have_114_and_86_million_parameters() -> Result<()> {
    let config = VariationalConfig::paper();
    let shapes = blueprint(|vb| VariationalActionModel::new(&config, vb))?;
    assert_eq!(count(&shapes, "encoder."), 114_411_672);
    assert_eq!(count(&shapes, "decoder."), 86_072_652);
    assert_eq!(count(&shapes, "patch_up.") + count(&shapes, "action_up."), 477_696); // the 0.48 million beside them
    assert_eq!(count(&shapes, "action_prompt") + count(&shapes, "fc."), 588 + 768 * 64 + 64);
    assert_eq!(count(&shapes, "encoder.out."), 768 * 768 + 768);
    Ok(())
}

/// UniVLA's lacks `encoder.out` and has two prompts.
#[test]
fn with_a_codebook_the_prompt_reading_has_113_8_and_86_5_million_parameters() -> Result<()> {
    let config = LamConfig { readout: Readout::Prompt, ..LamConfig::paper() };
    let shapes = blueprint(|vb| Idm::new(&config, vb))?;
    assert_eq!(count(&shapes, "encoder."), 114_411_672 - (768 * 768 + 768));
    assert_eq!(count(&shapes, ""), 113_821_080 + 2 * 588 + 768 * 32 + 32);
    let shapes = blueprint(|vb| Fdm::new(&config, vb))?;
    assert_eq!(count(&shapes, ""), 86_072_652 + 477_696);
    Ok(())
}
