//! Names, shapes and sizes of the published model, without allocating it.

use std::collections::BTreeMap;

use candle_core::{Result, Shape};
use cola_dit_world::{ActionConditioner, DitConfig, DitWorld};
use cola_nn::blueprint;

type Shapes = BTreeMap<String, Shape>;

/// What Open-Sora v1.2's own code builds; one entry a tensor of its state dict.
fn published() -> Shapes {
    let text = include_str!("../../golden/data/opensora-v1.2-tensors.json");
    let all: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let entries = all["stdit3_xl2"].as_object().expect("entries of the transformer");
    entries
        .iter()
        .map(|(name, shape)| {
            let sizes = shape.as_array().expect("a shape").iter();
            let shape: Vec<usize> = sizes.map(|size| size.as_u64().expect("a size") as usize).collect();
            (name.clone(), Shape::from(shape))
        })
        .collect()
}

fn built(config: &DitConfig) -> Result<Shapes> {
    blueprint(|vb| DitWorld::new(config, vb))
}

fn count<'a>(shapes: impl IntoIterator<Item = (&'a String, &'a Shape)>) -> usize {
    shapes.into_iter().map(|(_, shape)| shape.elem_count()).sum()
}

fn learning(shapes: &Shapes) -> usize {
    count(shapes.iter().filter(|(name, _)| !DitWorld::BUFFERS.contains(&name.as_str())))
}

#[test]
fn the_reference_form_has_exactly_the_published_names_and_shapes() -> Result<()> {
    let built = built(&DitConfig::open_sora_v1_2())?;
    assert_eq!(built, published());
    assert_eq!((built.len(), count(&built)), (973, 1_208_872_772));
    assert_eq!(learning(&built), 1_207_643_936);
    Ok(())
}

#[test]
fn the_paper_form_is_the_published_model_without_text() -> Result<()> {
    let built = built(&DitConfig::paper())?;
    let textless: Shapes = published()
        .into_iter()
        .filter(|(name, _)| !name.contains("y_embedder") && !name.contains("cross_attn"))
        .collect();
    assert_eq!(built, textless);
    assert_eq!(learning(&built), 904_066_592);
    assert_eq!(DitConfig::open_sora_v1_2().paper_form(), DitConfig::paper());
    Ok(())
}

#[test]
fn the_papers_action_module_has_74_million_parameters() -> Result<()> {
    let built = blueprint(|vb| ActionConditioner::new(&DitConfig::paper(), vb))?;
    let part = |prefix: &str| count(built.iter().filter(|(name, _)| name.starts_with(prefix)));
    assert_eq!(part("input."), 1_403_136);
    assert_eq!(part("blocks."), 6 * 10_624_896);
    assert_eq!(part("output."), 9_297_792);
    assert_eq!(part("no_action"), 1152);
    assert_eq!(count(&built), 74_450_304 + 1152);
    Ok(())
}
