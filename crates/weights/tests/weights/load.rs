//! By name into parameters, all or nothing.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use cola_nn::{Linear, Params, blueprint};
use cola_weights::{Error, LoadOptions, Loaded, Weights, diffusers_names, load, save};
use safetensors::Dtype as D;
use tempfile::TempDir;

use crate::support::{DEVICE, floats, folder, tensor, write};

fn model(vb: VarBuilder<'static>) -> Result<(Linear, Linear)> {
    Ok((Linear::new(2, 3, vb.pp("blocks.0.attn"))?, Linear::new(3, 2, vb.pp("blocks.1.attn"))?))
}

fn shapes() -> BTreeMap<String, Shape> {
    blueprint(model).expect("a model")
}

fn empty() -> Params {
    Params::seeded(0, DType::F32, &DEVICE)
}

/// A saved model, changed.
fn published(
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) -> (TempDir, Weights, BTreeMap<String, Tensor>) {
    let params = Params::seeded(7, DType::F32, &DEVICE);
    model(params.trainable()).expect("a model");
    let mut tensors: BTreeMap<String, Tensor> = params.tensors().into_iter().collect();
    change(&mut tensors);
    let folder = folder();
    save(folder.path(), tensors.clone(), &serde_json::json!({}), u64::MAX).expect("a writable folder");
    let weights = Weights::open(folder.path()).expect("just saved");
    (folder, weights, tensors)
}

/// A load that must fail before anything is set.
fn refusal(weights: &Weights, options: &LoadOptions<'_>) -> String {
    let params = empty();
    let error = load(weights, &params, &shapes(), options).expect_err("something is wrong");
    assert!(params.vars().is_empty(), "{error}");
    error.to_string()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).expect("f32");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_model_built_after_a_load_has_the_files_numbers() {
    let (_folder, weights, tensors) = published(|_| {});
    let params = empty();
    let loaded = load(&weights, &params, &shapes(), &LoadOptions::new()).expect("the same model");
    // Before the model is built: nothing was drawn for it.
    assert_eq!(params.vars().len(), 4);
    model(params.trainable()).expect("the same model");
    for (name, var) in params.vars() {
        assert_eq!(bits(&var), bits(&tensors[&name]), "{name}");
    }
    let names: Vec<String> = tensors.into_keys().collect();
    assert_eq!((loaded.names.used, loaded.used, loaded.created, loaded.left), (names, 17, 0, 0));
}

#[test]
fn numbers_are_cast_to_the_dtype_of_the_parameters() -> std::result::Result<(), Error> {
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        let (_folder, weights, tensors) = published(|tensors| {
            for tensor in tensors.values_mut() {
                *tensor = tensor.to_dtype(dtype).expect("a float");
            }
        });
        let params = empty();
        load(&weights, &params, &shapes(), &LoadOptions::new())?;
        for (name, var) in params.vars() {
            assert_eq!(bits(&var), bits(&tensors[&name].to_dtype(DType::F32)?), "{name}");
        }
    }
    Ok(())
}

#[test]
fn what_the_file_has_more_is_left_and_told() {
    let (_folder, weights, _) = published(|tensors| {
        tensors.insert("text.0.proj.weight".into(), tensor(&[1.0; 6]));
        tensors.insert("text.1.proj.weight".into(), tensor(&[1.0; 6]));
    });
    let loaded = load(&weights, &empty(), &shapes(), &LoadOptions::new()).expect("more than enough");
    assert_eq!((loaded.names.left.len(), loaded.left), (2, 12));
    let text = loaded.to_string();
    assert!(
        text.contains(
            "left in the file, not in the model: 2 tensors, 12 parameters\n  text.0..1.proj.*  2 tensors"
        ),
        "{text}"
    );
    assert!(text.starts_with("used: 4 tensors, 17 parameters\n  blocks.0..1.attn.*  4 tensors"), "{text}");
}

#[test]
fn what_the_file_lacks_is_refused_with_the_nearest_name() {
    let (_folder, weights, _) = published(|tensors| {
        let moved = tensors.remove("blocks.1.attn.weight").expect("a weight");
        tensors.insert("blocks.1.attention.weight".into(), moved);
    });
    let text = refusal(&weights, &LoadOptions::new());
    assert!(
        text.contains("1 of 4 tensors that the model needs are absent: `blocks.1.attn.weight`"),
        "{text}"
    );
    assert!(text.contains("(nearest name in the file: `blocks.1.attention.weight`)"), "{text}");
    // What is allowed is something else.
    refusal(&weights, &LoadOptions::new().create(|name| name.ends_with("bias")));
}

#[test]
fn what_may_be_created_is_left_to_the_model() {
    let (_folder, weights, tensors) = published(|tensors| drop(tensors.remove("blocks.1.attn.bias")));
    let params = empty();
    let options = LoadOptions::new().create(|name| name.starts_with("blocks.1."));
    let loaded = load(&weights, &params, &shapes(), &options).expect("allowed");
    assert_eq!((loaded.names.created, loaded.created), (vec!["blocks.1.attn.bias".to_string()], 2));
    assert!(params.get("blocks.1.attn.bias").is_none());
    model(params.trainable()).expect("the same model");
    assert!(params.get("blocks.1.attn.bias").is_some());
    assert_eq!(
        bits(&params.get("blocks.1.attn.weight").expect("loaded")),
        bits(&tensors["blocks.1.attn.weight"])
    );
}

#[test]
fn another_shape_is_refused_with_file_tensor_found_and_expected() {
    let (_folder, weights, _) = published(|tensors| {
        let weight = tensors.get_mut("blocks.1.attn.weight").expect("a weight");
        *weight = weight.t().and_then(|weight| weight.contiguous()).expect("a matrix");
    });
    let text = refusal(&weights, &LoadOptions::new());
    assert!(
        text.contains("model.safetensors: tensor `blocks.1.attn.weight` is F32 [3, 2], expected floating-point numbers [2, 3]"),
        "{text}"
    );
}

#[test]
fn whole_numbers_are_no_weights() {
    let (_folder, weights, _) = published(|tensors| {
        let bias = tensors.get_mut("blocks.1.attn.bias").expect("a bias");
        *bias = bias.to_dtype(DType::I64).expect("numbers");
    });
    let text = refusal(&weights, &LoadOptions::new());
    assert!(
        text.contains("tensor `blocks.1.attn.bias` is I64 [2], expected floating-point numbers [2]"),
        "{text}"
    );
}

#[test]
fn numbers_that_are_none_are_refused_with_place_and_count() {
    let (_folder, weights, _) = published(|tensors| {
        let values = Tensor::new(&[[0f32, 1.0, f32::NAN], [2.0, f32::INFINITY, 3.0]], &DEVICE);
        tensors.insert("blocks.1.attn.weight".into(), values.expect("a tensor"));
    });
    let error = load(&weights, &empty(), &shapes(), &LoadOptions::new()).expect_err("NaN");
    let text = error.to_string();
    assert!(
        text.contains(
            "tensor `blocks.1.attn.weight` holds 2 values that are NaN or infinite as F32 (first at [0, 2])"
        ),
        "{text}"
    );
}

#[test]
fn numbers_too_large_for_the_parameters_dtype_are_refused() {
    let (_folder, weights, _) = published(|tensors| {
        tensors.insert("blocks.1.attn.bias".into(), tensor(&[1.0, 1e6]));
    });
    let params = Params::seeded(0, DType::F16, &DEVICE);
    let error = load(&weights, &params, &shapes(), &LoadOptions::new()).expect_err("beyond f16");
    assert!(matches!(error, Error::Values { count: 1, ref first, .. } if *first == [1]), "{error}");
}

#[test]
fn parameters_of_another_model_are_not_overwritten() {
    let (_folder, weights, _) = published(|_| {});
    let params = empty();
    params.set("blocks.1.attn.bias", &tensor(&[0.0; 5])).expect("a new set");
    let error = load(&weights, &params, &shapes(), &LoadOptions::new()).expect_err("another shape");
    assert!(
        error.to_string().contains("`blocks.1.attn.bias` has shape [5] already, expected [2]"),
        "{error}"
    );
    assert_eq!(params.vars().len(), 1);
}

#[test]
fn prefixes_are_exchanged_and_others_left() {
    let (_folder, weights, _) = published(|tensors| {
        *tensors =
            std::mem::take(tensors).into_iter().map(|(name, x)| (format!("module.{name}"), x)).collect();
        tensors.insert("blocks.0.attn.bias".into(), tensor(&[9.0; 3]));
    });
    let params = empty();
    let shapes = blueprint(|vb| model(vb.pp("world"))).expect("a model");
    let options = LoadOptions::new().prefix("module.", "world.");
    let loaded = load(&weights, &params, &shapes, &options).expect("the same model elsewhere");
    assert_eq!((loaded.names.used.len(), loaded.names.left), (4, vec!["blocks.0.attn.bias".to_string()]));
    model(params.trainable().pp("world")).expect("the same model");
    assert_eq!(params.vars().len(), 4);
}

#[test]
fn two_tensors_with_one_name_are_refused() {
    let (_folder, weights, _) = published(|_| {});
    let options = LoadOptions::new().rename(|name| Some(name.replace(".1.", ".0.")));
    let text = refusal(&weights, &options);
    assert!(
        text.contains("`blocks.0.attn.bias` and `blocks.1.attn.bias` both become `blocks.0.attn.bias`"),
        "{text}"
    );
}

/// An attention layer of an old checkpoint: other names, 1x1 convolutions.
fn old() -> (TempDir, Weights, BTreeMap<String, Shape>) {
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    let bytes = || floats(&[1.0, 2.0, 3.0, 4.0]);
    let tensors = [
        ("mid.attn.query.weight", D::F32, &[2, 2, 1, 1][..], bytes()),
        ("mid.attn.key.weight", D::F32, &[2, 2], bytes()),
        ("mid.attn.value.weight", D::F32, &[2, 2, 1, 1], bytes()),
        ("mid.attn.proj_attn.weight", D::F32, &[2, 2, 1, 1], bytes()),
        ("mid.attn.proj_attn.bias", D::F32, &[2], floats(&[1.0, 2.0])),
    ];
    let weights = Weights::open(write(&file, &tensors)).expect("just written");
    let shapes = ["to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"];
    let mut shapes: BTreeMap<String, Shape> =
        shapes.iter().map(|name| (format!("mid.attn.{name}"), (2, 2).into())).collect();
    shapes.insert("mid.attn.to_out.0.bias".into(), 2.into());
    (folder, weights, shapes)
}

#[test]
fn old_attention_layers_are_taken_under_their_present_names() {
    let (_folder, weights, shapes) = old();
    let params = empty();
    let options = LoadOptions::new().rename(diffusers_names).squeeze();
    let loaded: Loaded = load(&weights, &params, &shapes, &options).expect("an old checkpoint");
    assert_eq!(loaded.names.used, shapes.keys().cloned().collect::<Vec<_>>());
    let weight = params.get("mid.attn.to_out.0.weight").expect("loaded");
    assert_eq!(weight.to_vec2::<f32>().expect("a matrix"), [[1.0, 2.0], [3.0, 4.0]]);
}

#[test]
fn sides_of_one_count_unless_they_are_said_not_to() {
    let (_folder, weights, shapes) = old();
    let options = LoadOptions::new().rename(diffusers_names);
    let text = load(&weights, &empty(), &shapes, &options).expect_err("4 sides").to_string();
    assert!(
        text.contains("is F32 [2, 2, 1, 1], expected floating-point numbers [2, 2] (for `mid.attn.to_"),
        "{text}"
    );
}
