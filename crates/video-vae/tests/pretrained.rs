//! Checkpoints in the published layout: round trips, both naming schemes, and every way to be wrong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::Params;
use cola_random::{normals, stream};
use cola_video_vae::{ConfigError, Cut, Pretrained, PublishedConfig, VideoVae, VideoVaeConfig};
use cola_weights::{Error, Hub};
use tempfile::TempDir;

const DEVICE: Device = Device::Cpu;

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn normal(name: &str, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(normals(shape.iter().product(), &mut stream(3, name, 0, 0)), shape, &DEVICE)
}

/// Every tensor of a tiny published checkpoint.
fn whole() -> Result<HashMap<String, Tensor>> {
    let params = Params::seeded(0, DType::F32, &DEVICE);
    VideoVae::new(&VideoVaeConfig::tiny(), params.frozen())?;
    let mut tensors = HashMap::new();
    for (name, var) in params.vars() {
        tensors.insert(name.clone(), (normal(&name, var.dims())? * 0.2)?);
    }
    for (name, values) in [("shift", [-0.1f32, 0.3, 0.2, 1.0]), ("scale", [3.9, 2.3, 2.3, 3.0])] {
        tensors.insert(name.into(), Tensor::new(&values, &DEVICE)?.reshape((1, 4, 1, 1, 1))?);
    }
    Ok(tensors)
}

fn checkpoint(tensors: HashMap<String, Tensor>) -> Outcome<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vae");
    let json = serde_json::to_value(PublishedConfig::of(&VideoVaeConfig::tiny()))?;
    cola_weights::save(&path, tensors, &json, u64::MAX)?;
    Ok((folder, path))
}

fn open(path: &Path) -> cola_weights::Result<Pretrained> {
    Pretrained::from_pretrained(
        path.to_str().expect("a path in UTF-8"),
        &Hub::from_env(),
        DType::F32,
        &DEVICE,
    )
}

fn refusal(tensors: HashMap<String, Tensor>) -> Outcome<Error> {
    let (_folder, path) = checkpoint(tensors)?;
    Ok(open(&path).map(|_| ()).expect_err("a checkpoint that does not fit"))
}

fn latents(opened: &Pretrained) -> Result<Vec<f32>> {
    let video = normal("video", &[1, 3, 5, 16, 16])?;
    opened.vae(false)?.encode_mean(&video, Cut::Chunks)?.flatten_all()?.to_vec1()
}

#[test]
fn a_checkpoint_is_opened_with_its_own_numbers_and_saved_with_the_same() -> Outcome<()> {
    let tensors = whole()?;
    let (_folder, path) = checkpoint(tensors.clone())?;
    let opened = open(&path)?;
    assert_eq!((&opened.config, &opened.unknown), (&VideoVaeConfig::tiny(), &vec![]));
    assert_eq!((opened.report.names.created.len(), opened.report.names.left.len()), (0, 0));
    assert_eq!(opened.report.names.used.len(), tensors.len());
    let again = tempfile::tempdir()?;
    let again = again.path().join("again");
    opened.save_pretrained(&again)?;
    assert_eq!(latents(&opened)?, latents(&open(&again)?)?);
    // The stored buffers are the ones that compute.
    let mut moved = tensors;
    moved.insert("shift".into(), Tensor::zeros((1, 4, 1, 1, 1), DType::F32, &DEVICE)?);
    let (_folder, path) = checkpoint(moved)?;
    assert_ne!(latents(&opened)?, latents(&open(&path)?)?);
    Ok(())
}

#[test]
fn buffers_that_are_not_stored_are_the_configurations() -> Outcome<()> {
    let mut tensors = whole()?;
    tensors.retain(|name, _| !VideoVae::BUFFERS.contains(&name.as_str()));
    let (_folder, path) = checkpoint(tensors)?;
    let opened = open(&path)?;
    assert_eq!(opened.report.names.created, ["scale", "shift"]);
    latents(&opened)?;
    Ok(())
}

#[test]
fn attention_may_have_its_older_names_as_matrices_or_convolutions() -> Outcome<()> {
    let now = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let (_folder, path) = checkpoint(whole()?)?;
    let expected = latents(&open(&path)?)?;
    for convolutions in [false, true] {
        let mut renamed = 0;
        let mut older = HashMap::new();
        for (name, tensor) in whole()? {
            let found = now.iter().find(|(now, _)| name.contains(&format!(".{now}.")));
            let Some((now, before)) = found.filter(|_| name.contains(".attentions.")) else {
                older.insert(name, tensor);
                continue;
            };
            let (rows, columns) = (tensor.dim(0)?, tensor.elem_count() / tensor.dim(0)?);
            let tensor = match convolutions && tensor.rank() == 2 {
                true => tensor.reshape((rows, columns, 1, 1))?,
                false => tensor,
            };
            older.insert(name.replace(now, before), tensor);
            renamed += 1;
        }
        assert_eq!(renamed, 16, "weights and biases of two attention layers");
        let (_folder, path) = checkpoint(older)?;
        assert_eq!(latents(&open(&path)?)?, expected, "convolutions: {convolutions}");
    }
    Ok(())
}

#[test]
fn a_tensor_that_is_missing_misshaped_extra_or_no_number_is_told_by_name() -> Outcome<()> {
    let name = "temporal_vae.decoder.conv_out.conv.weight";
    let without = || -> Result<HashMap<String, Tensor>> {
        let mut tensors = whole()?;
        tensors.remove(name);
        Ok(tensors)
    };
    let with = |value: Tensor| -> Result<HashMap<String, Tensor>> {
        let mut tensors = without()?;
        tensors.insert(name.into(), value);
        Ok(tensors)
    };
    let text = refusal(without()?)?.to_string();
    assert!(text.contains(name), "{text}");
    let right = whole()?[name].clone();
    let text = refusal(with(right.narrow(2, 0, 1)?.contiguous()?)?)?.to_string();
    assert!(
        text.contains(name) && text.contains("[4, 4, 1, 3, 3]") && text.contains("[4, 4, 3, 3, 3]"),
        "{text}"
    );
    let text = refusal(with((&right / 0.0)?)?)?.to_string();
    assert!(text.contains(name) && text.contains("NaN or infinite"), "{text}");
    let mut extra = whole()?;
    extra.insert("loss.logvar".into(), right);
    let (_folder, path) = checkpoint(extra)?;
    assert_eq!(open(&path)?.report.names.left, ["loss.logvar"]);
    Ok(())
}

#[test]
fn what_a_published_configuration_may_say() -> Outcome<()> {
    let full = r#"{"architectures": ["VideoAutoencoderPipeline"], "model_type": "VideoAutoencoderPipeline",
        "cal_loss": false, "freeze_vae_2d": false, "from_pretrained": null, "micro_frame_size": 17,
        "scale": [3.85, 2.32, 2.33, 3.06], "shift": [-0.1, 0.34, 0.27, 0.98], "torch_dtype": "float32",
        "vae_2d": {"from_pretrained": "owner/name", "micro_batch_size": 4, "subfolder": "vae",
                   "type": "VideoAutoencoderKL"},
        "vae_temporal": {"from_pretrained": null, "type": "VAE_Temporal_SD"}}"#;
    for text in [full, "{}"] {
        let published: PublishedConfig = serde_json::from_str(text)?;
        assert_eq!(published.config()?, VideoVaeConfig::open_sora_v1_2());
        assert_eq!(published.cola_world, None);
    }
    let all: PublishedConfig = serde_json::from_str(r#"{"vae_2d": {"micro_batch_size": null}}"#)?;
    assert_eq!(all.config()?.micro_batch, usize::MAX);
    assert_eq!(PublishedConfig::of(&all.config()?), all);
    type Change = fn(&mut PublishedConfig);
    let changes: [(Change, &str); 5] = [
        (|c| c.model_type = "STDiT3".into(), "model_type"),
        (|c| c.vae_2d.kind = "AutoencoderDC".into(), "vae_2d.type"),
        (|c| c.vae_temporal.kind = "VAE_3D".into(), "vae_temporal.type"),
        (|c| c.micro_frame_size = 0, "temporal_vae.micro_frame_size"),
        (|c| c.scale[1] = 0.0, "scale"),
    ];
    for (change, field) in changes {
        let mut published = PublishedConfig::default();
        change(&mut published);
        let error: ConfigError = published.config().expect_err("not computed here");
        assert_eq!(error.field(), field, "{error}");
    }
    Ok(())
}
