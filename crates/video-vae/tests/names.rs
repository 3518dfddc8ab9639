//! Every name and shape of the published checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::{Params, blueprint};
use cola_video_vae::{ImageConfig, ImageVae, VideoVae, VideoVaeConfig};
use serde_json::Value;

/// `hpcai-tech/OpenSora-VAE-v1.2`.
fn published() -> BTreeMap<String, Vec<usize>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/data/opensora-v1.2-tensors.json");
    let text = std::fs::read_to_string(file).expect("the list of tensors");
    let mut list: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(list["vae_pipeline"].take()).expect("shapes by name")
}

#[test]
fn the_published_model_has_its_names_and_shapes() -> Result<()> {
    let asked = blueprint(|vb| VideoVae::new(&VideoVaeConfig::open_sora_v1_2(), vb))?;
    let asked: BTreeMap<String, Vec<usize>> =
        asked.into_iter().map(|(name, shape)| (name, shape.into_dims())).collect();
    let expected = published();
    for (name, shape) in &expected {
        assert_eq!(asked.get(name), Some(shape), "{name}");
    }
    for name in asked.keys() {
        assert!(expected.contains_key(name), "{name} is not in the checkpoint");
    }
    assert_eq!(asked.len(), 517);
    let count = |prefix: &str| -> usize {
        let below = asked.iter().filter(|(name, _)| name.starts_with(prefix));
        below.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    };
    assert_eq!(count("spatial_vae.module.encoder."), 34_163_592);
    assert_eq!(count("spatial_vae.module.decoder."), 49_490_179);
    assert_eq!(count("spatial_vae."), 83_653_863);
    assert_eq!(count("temporal_vae.encoder."), 144_421_128);
    assert_eq!(count("temporal_vae.decoder."), 165_265_924);
    assert_eq!(count("temporal_vae."), 309_687_144);
    assert_eq!(count("") - count("shift") - count("scale"), 393_341_007);
    Ok(())
}

#[test]
fn older_names_of_the_attention_are_read_too() -> Result<()> {
    let params = Params::seeded(3, DType::F32, &Device::Cpu);
    let vae = ImageVae::new(&ImageConfig::tiny(), params.trainable())?;
    let older = Params::seeded(4, DType::F32, &Device::Cpu);
    for (name, value) in params.tensors() {
        let name = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]
            .iter()
            .fold(name, |name, (new, old)| {
                name.replace(&format!("attentions.0.{new}."), &format!("attentions.0.{old}."))
            });
        older.set(&name, &value)?;
    }
    let count = older.count();
    let again = ImageVae::new(&ImageConfig::tiny(), older.frozen())?;
    assert_eq!(older.count(), count, "the model made parameters of its own");
    assert_eq!(older.vars().iter().filter(|(name, _)| name.contains("proj_attn")).count(), 4);
    let pictures = Tensor::rand(-1f32, 1.0, (1, 3, 16, 16), &Device::Cpu)?;
    let mean = |vae: &ImageVae| vae.encode(&pictures)?.mean().flatten_all()?.to_vec1::<f32>();
    assert_eq!(mean(&vae)?, mean(&again)?);
    Ok(())
}

#[test]
fn stored_buffers_are_used_and_never_trained() -> Result<()> {
    let config = VideoVaeConfig::tiny();
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    params.set("shift", &Tensor::new(&[1f32, 2.0, 3.0, 4.0], &Device::Cpu)?.reshape((1, 4, 1, 1, 1))?)?;
    params.set("scale", &Tensor::new(&[5f32, 6.0, 7.0, 8.0], &Device::Cpu)?.reshape((1, 4, 1, 1, 1))?)?;
    let stored = VideoVae::new(&config, params.trainable())?;
    let same = VideoVaeConfig { shift: vec![1.0, 2.0, 3.0, 4.0], scale: vec![5.0, 6.0, 7.0, 8.0], ..config };
    // A view that does not have them.
    let others = Params::seeded(0, DType::F32, &Device::Cpu);
    let configured = VideoVae::new(&same, others.trainable())?;
    assert_eq!((others.get("shift").is_some(), params.get("shift").is_some()), (false, true));
    let images = Tensor::rand(-1f32, 1.0, (1, 4, 2, 2, 2), &Device::Cpu)?;
    let latents = |vae: &VideoVae| vae.encode_time(&images, cola_video_vae::Cut::Chunks, None);
    let (found, expected) = (latents(&stored)?, latents(&configured)?);
    assert_eq!(found.flatten_all()?.to_vec1::<f32>()?, expected.flatten_all()?.to_vec1::<f32>()?);
    let grads = found.sqr()?.sum_all()?.backward()?;
    for name in ["shift", "scale"] {
        assert!(grads.get(&params.get(name).expect("a buffer")).is_none(), "{name}");
    }
    Ok(())
}
