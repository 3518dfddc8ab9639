//! Checkpoints in the published layout: round trips, both forms, and every way to be wrong.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use cola_dit_world::{
    ActionConditioner, ConfigError, DitConfig, DitWorld, Form, Pretrained, PublishedConfig, TextConfig,
};
use cola_nn::Params;
use cola_weights::{Error, Hub};
use support::{DEVICE, config, empty, flat, normal, randomise};
use tempfile::TempDir;

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn reference() -> DitConfig {
    let text = TextConfig { caption_channels: 7, model_max_length: 4 };
    DitConfig { causal: false, text: Some(text), ..config() }
}

/// The parameters of a published model, with its stored constants.
fn published() -> Result<Params> {
    let params = empty();
    DitWorld::new(&reference(), params.trainable())?;
    randomise(&params)?;
    Ok(params)
}

/// A checkpoint of these tensors.
fn checkpoint(tensors: HashMap<String, Tensor>) -> Outcome<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    let json = serde_json::to_value(PublishedConfig::of(&reference(), false))?;
    cola_weights::save(&path, tensors, &json, u64::MAX)?;
    Ok((folder, path))
}

fn whole() -> Outcome<HashMap<String, Tensor>> {
    let mut tensors = published()?.tensors();
    tensors.insert("rope.freqs".into(), Tensor::new(&[1f32, 0.1, 0.01, 0.001], &DEVICE)?);
    Ok(tensors)
}

fn open(path: &Path, form: &Form) -> cola_weights::Result<Pretrained> {
    let path = path.to_str().expect("a path in UTF-8");
    Pretrained::from_pretrained(path, form, &Hub::from_env(), DType::F32, &DEVICE)
}

fn paper() -> Form {
    Form::Paper(config().action)
}

fn refusal(tensors: HashMap<String, Tensor>, form: &Form) -> Outcome<Error> {
    let (_folder, path) = checkpoint(tensors)?;
    Ok(open(&path, form).map(|_| ()).expect_err("a checkpoint that does not fit"))
}

#[test]
fn a_saved_model_is_opened_with_the_same_bits_and_the_same_configuration() -> Outcome<()> {
    for config in [reference(), config(), DitConfig { causal: false, ..config() }] {
        let (backbone, action) = (empty(), empty());
        DitWorld::new(&config, backbone.trainable())?;
        ActionConditioner::new(&config, action.trainable())?;
        randomise(&backbone)?;
        randomise(&action)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model");
        Pretrained::new(config.clone(), backbone.clone(), Some(action.clone())).save_pretrained(&path)?;
        let opened = open(&path, &Form::Stored)?;
        assert_eq!((&opened.config, &opened.unknown), (&config, &vec![]));
        assert_eq!((opened.report.names.created.len(), opened.report.names.left.len()), (0, 0));
        for (before, after) in [(backbone, &opened.backbone), (action, &opened.action)] {
            for (name, var) in before.vars() {
                let read = after.get(&name).expect("a saved parameter");
                assert_eq!(flat(&var)?, flat(&read)?, "{name}");
            }
        }
        opened.dit(true)?;
        opened.conditioner(true)?;
    }
    Ok(())
}

#[test]
fn a_published_checkpoint_is_opened_as_published() -> Outcome<()> {
    let (_folder, path) = checkpoint(whole()?)?;
    let opened = open(&path, &Form::Stored)?;
    assert_eq!(opened.config.text, reference().text);
    assert!(!opened.config.causal);
    assert!(opened.report.names.left.is_empty());
    assert!(opened.report.names.created.iter().all(|name| name.starts_with("action_conditioner.")));
    assert_eq!(opened.report.names.used.len(), whole()?.len());
    Ok(())
}

#[test]
fn the_paper_form_of_a_published_checkpoint_uses_leaves_and_creates_by_name() -> Outcome<()> {
    let tensors = whole()?;
    let (_folder, path) = checkpoint(tensors.clone())?;
    let opened = open(&path, &paper())?;
    let is_text = |name: &str| name.contains("cross_attn") || name.starts_with("y_embedder");
    let (mut left, mut used): (Vec<String>, Vec<String>) =
        tensors.keys().cloned().partition(|name| is_text(name));
    left.sort();
    used.sort();
    assert_eq!(opened.report.names.left, left);
    assert_eq!(opened.report.names.used, used);
    let mut created: Vec<String> = cola_nn::blueprint(|vb| ActionConditioner::new(&config(), vb))?
        .into_keys()
        .map(|name| format!("action_conditioner.{name}"))
        .collect();
    created.sort();
    assert_eq!(opened.report.names.created, created);
    assert!(opened.config.causal && opened.config.text.is_none());
    // The published tensors are the ones that compute.
    let dit = opened.dit(false)?;
    for (name, var) in opened.backbone.vars() {
        assert_eq!(flat(&var)?, flat(&tensors[&name])?, "{name}");
    }
    assert_eq!(dit.config(), &opened.config);
    Ok(())
}

#[test]
fn frequencies_that_are_not_stored_are_computed() -> Outcome<()> {
    let (_folder, path) = checkpoint(published()?.tensors())?;
    let opened = open(&path, &Form::Stored)?;
    assert!(opened.report.names.created.contains(&"rope.freqs".to_string()));
    opened.dit(false)?;
    Ok(())
}

#[test]
fn a_missing_tensor_is_named_and_a_misnamed_one_is_suggested() -> Outcome<()> {
    for name in ["t_block.1.bias", "spatial_blocks.1.attn.qkv.weight", "y_embedder.y_embedding"] {
        let mut tensors = whole()?;
        let value = tensors.remove(name).expect("a published tensor");
        let text = refusal(tensors.clone(), &Form::Stored)?.to_string();
        assert!(text.contains(&format!("`{name}`")), "{text}");
        let misnamed = format!("{name}_");
        tensors.insert(misnamed.clone(), value);
        let text = refusal(tensors, &Form::Stored)?.to_string();
        assert!(text.contains(&format!("`{name}`")) && text.contains(&misnamed), "{text}");
    }
    Ok(())
}

#[test]
fn text_tensors_may_be_missing_for_the_paper_form_alone() -> Outcome<()> {
    let mut tensors = whole()?;
    tensors.retain(|name, _| !name.contains("cross_attn") && !name.starts_with("y_embedder"));
    let (_folder, path) = checkpoint(tensors.clone())?;
    assert!(open(&path, &paper())?.report.names.left.is_empty());
    assert!(matches!(refusal(tensors, &Form::Stored)?, Error::Missing { .. }));
    Ok(())
}

#[test]
fn an_extra_tensor_is_left_and_reported() -> Outcome<()> {
    let mut tensors = whole()?;
    tensors.insert("ema.decay".into(), normal("extra", (2, 3))?);
    let (_folder, path) = checkpoint(tensors)?;
    assert_eq!(open(&path, &Form::Stored)?.report.names.left, ["ema.decay"]);
    Ok(())
}

#[test]
fn a_tensor_of_another_shape_is_refused_with_both() -> Outcome<()> {
    let mut tensors = whole()?;
    tensors.insert("x_embedder.proj.weight".into(), normal("wrong", (16, 3, 2, 2))?);
    let text = refusal(tensors, &paper())?.to_string();
    let parts = ["x_embedder.proj.weight", "[16, 3, 2, 2]", "[16, 3, 1, 2, 2]"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    Ok(())
}

#[test]
fn a_number_that_is_none_is_refused_with_its_place() -> Outcome<()> {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut tensors = whole()?;
        let mut values = flat(&tensors["final_layer.linear.bias"])?;
        values[3] = wrong;
        tensors.insert("final_layer.linear.bias".into(), Tensor::new(values.as_slice(), &DEVICE)?);
        let text = refusal(tensors, &paper())?.to_string();
        assert!(text.contains("final_layer.linear.bias") && text.contains("[3]"), "{text}");
    }
    Ok(())
}

#[test]
fn half_an_action_conditioner_is_refused() -> Outcome<()> {
    let mut tensors = whole()?;
    tensors.insert("action_conditioner.no_action".into(), normal("slot", 12)?);
    let text = refusal(tensors, &paper())?.to_string();
    assert!(text.contains("input.0.weight") || text.contains("blocks.0"), "{text}");
    Ok(())
}

#[test]
fn what_a_published_configuration_may_say() -> Outcome<()> {
    let full = r#"{"architectures": ["STDiT3"], "torch_dtype": "float32", "transformers_version": "4.36.2",
        "auto_map": {"AutoModel": "x"}, "model_type": "STDiT3", "input_size": [null, null, null], "input_sq_size": 512,
        "in_channels": 4, "patch_size": [1, 2, 2], "hidden_size": 1152, "depth": 28, "num_heads": 16, "mlp_ratio": 4.0,
        "class_dropout_prob": 0.1, "pred_sigma": true, "drop_path": 0.0, "caption_channels": 4096,
        "model_max_length": 300, "qk_norm": true, "enable_flash_attn": true, "only_train_temporal": false}"#;
    for text in [full, "{}"] {
        let published: PublishedConfig = serde_json::from_str(text)?;
        assert_eq!(published.config()?, DitConfig::open_sora_v1_2());
        assert_eq!(PublishedConfig::of(&published.config()?, false), published);
    }
    type Change = fn(&mut PublishedConfig);
    let changes: [(Change, &str); 6] = [
        (|c| c.model_type = "PixArt".into(), "model_type"),
        (|c| c.patch_size = [2, 2, 2], "patch_size"),
        (|c| c.patch_size = [1, 2, 4], "patch_size"),
        (|c| c.mlp_ratio = 2.5, "mlp_ratio"),
        (|c| c.mlp_ratio = f64::NAN, "mlp_ratio"),
        (|c| c.mlp_ratio = -4.0, "mlp_ratio"),
    ];
    for (change, name) in changes {
        let mut published = PublishedConfig::default();
        change(&mut published);
        let error = published.config().expect_err("not computed here");
        assert!(matches!(error, ConfigError::Unsupported { field, .. } if field == name), "{error}");
    }
    let zero = PublishedConfig { num_heads: 0, ..PublishedConfig::default() };
    assert!(zero.config().is_err());
    Ok(())
}

#[test]
fn foreign_fields_are_listed_and_wrong_ones_are_refused_by_file_and_field() -> Outcome<()> {
    let (_folder, path) = checkpoint(whole()?)?;
    let file = path.join("config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    json["torch_dtype"] = "float32".into();
    std::fs::write(&file, json.to_string())?;
    assert_eq!(open(&path, &Form::Stored)?.unknown, ["torch_dtype"]);
    json["patch_size"] = serde_json::json!([1, 2, 3]);
    std::fs::write(&file, json.to_string())?;
    let text = open(&path, &Form::Stored).map(|_| ()).expect_err("not square").to_string();
    assert!(
        text.contains("config.json") && text.contains("patch_size") && text.contains("[1, 2, 3]"),
        "{text}"
    );
    json["patch_size"] = "two".into();
    std::fs::write(&file, json.to_string())?;
    let text = open(&path, &Form::Stored).map(|_| ()).expect_err("no list").to_string();
    assert!(text.contains("config.json") && text.contains("patch_size"), "{text}");
    Ok(())
}
