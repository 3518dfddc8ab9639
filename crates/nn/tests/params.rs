//! Named variables: seeded by name, two views of one storage, files that are whole or refused; linear layers over both.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Error, Linear, LoadReport, Mlp, Params, normal, read_tensors, save_tensors};
use cola_random::stream;
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

const DEVICE: Device = Device::Cpu;

fn seeded(seed: u64) -> Params {
    Params::seeded(seed, DType::F32, &DEVICE)
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

fn random(name: &str, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    normal(shape, &DEVICE, &mut stream(3, name, 0, 0))
}

/// All names and values.
fn contents(params: &Params) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let values = |var: &Var| flat(&var.to_dtype(DType::F32).expect("a float")).expect("on the CPU");
    params.vars().iter().map(|(name, var)| (name.clone(), var.dims().to_vec(), values(var))).collect()
}

/// A small model: `a.fc1`, `a.fc2` and `b`.
fn build(vb: &VarBuilder) -> Result<(Mlp, Linear)> {
    Ok((Mlp::new(4, 6, vb.pp("a"))?, Linear::new(4, 3, vb.pp("b"))?))
}

/// A model of seed 1 with random biases, too.
fn model() -> Params {
    let params = seeded(1);
    build(&params.trainable()).expect("a model");
    for (name, var) in params.vars() {
        var.set(&random(&name, var.shape()).expect("numbers")).expect("the same shape");
    }
    params
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a writable temporary folder")
}

fn entries(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn values_depend_on_the_name_and_not_on_the_order_or_the_view() -> Result<()> {
    let (forward, backward, frozen) = (seeded(7), seeded(7), seeded(7));
    build(&forward.trainable())?;
    let vb = backward.trainable();
    Linear::new(4, 3, vb.pp("b"))?;
    Linear::new(2, 2, vb.pp("between"))?;
    Mlp::new(4, 6, vb.pp("a"))?;
    build(&frozen.frozen())?;
    let kept = |params: &Params| {
        let mut contents = contents(params);
        contents.retain(|(name, ..)| !name.starts_with("between"));
        contents
    };
    assert_eq!(kept(&forward), kept(&backward));
    assert_eq!(kept(&forward), kept(&frozen));
    let names: Vec<String> = forward.vars().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.fc1.bias", "a.fc1.weight", "a.fc2.bias", "a.fc2.weight", "b.bias", "b.weight"]);
    assert_eq!(forward.count(), 4 * 6 + 6 + 6 * 4 + 4 + 4 * 3 + 3);
    Ok(())
}

#[test]
fn another_seed_or_name_gives_other_values() -> Result<()> {
    let weight = |seed: u64, name: &str| {
        let params = seeded(seed);
        Linear::new(4, 3, params.trainable().pp(name))?;
        flat(params.get(&format!("{name}.weight")).expect("a weight").as_tensor())
    };
    assert_eq!(weight(1, "a")?, weight(1, "a")?);
    assert_ne!(weight(1, "a")?, weight(2, "a")?);
    assert_ne!(weight(1, "a")?, weight(1, "b")?);
    Ok(())
}

#[test]
fn every_kind_of_initial_value_has_its_mean_and_spread() -> Result<()> {
    let kaiming = |dist, fan| Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU };
    // (initial value, mean, standard deviation) for a weight of 200 x 50; the gain of a ReLU is sqrt 2.
    for (init, mean, deviation) in [
        (Init::Const(0.5), 0.5, 0.0),
        (Init::Randn { mean: 1.0, stdev: 0.1 }, 1.0, 0.1),
        (Init::Uniform { lo: -1.0, up: 3.0 }, 1.0, 4.0 / 12f64.sqrt()),
        (kaiming(NormalOrUniform::Normal, FanInOut::FanIn), 0.0, (2.0f64 / 50.0).sqrt()),
        (kaiming(NormalOrUniform::Uniform, FanInOut::FanOut), 0.0, (2.0f64 / 200.0).sqrt()),
    ] {
        let values = seeded(0).trainable().get_with_hints((200, 50), "w", init)?;
        let values: Vec<f64> = values.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let count = values.len() as f64;
        let found = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|value| (value - found).powi(2)).sum::<f64>() / count).sqrt();
        // 10,000 draws: means within 5 standard errors.
        assert!((found - mean).abs() <= 0.05 * deviation, "{init:?}: mean {found}");
        assert!((spread - deviation).abs() <= 0.05 * deviation, "{init:?}: deviation {spread}");
    }
    Ok(())
}

#[test]
fn both_views_see_a_later_change_and_only_one_is_a_variable() -> Result<()> {
    let params = seeded(0);
    let (trained, frozen) = (params.trainable(), params.frozen());
    let (trained, frozen) = (trained.get(3, "w")?, frozen.get(3, "w")?);
    assert!(trained.is_variable() && !frozen.is_variable() && !frozen.track_op());
    params.get("w").expect("w").set(&Tensor::new(&[1f32, 2.0, 3.0], &DEVICE)?)?;
    assert_eq!(flat(&frozen)?, [1.0, 2.0, 3.0]);
    assert_eq!(flat(&trained)?, [1.0, 2.0, 3.0]);
    assert_eq!(flat(&params.tensors()["w"])?, [1.0, 2.0, 3.0]);
    let clone = params.clone();
    clone.set("w", &Tensor::new(&[4f32, 5.0, 6.0], &DEVICE)?)?;
    assert_eq!(flat(&frozen)?, [4.0, 5.0, 6.0]);
    Ok(())
}

#[test]
fn a_layer_of_another_shape_is_refused_with_name_and_both_shapes() -> Result<()> {
    let params = model();
    for vb in [params.trainable(), params.frozen()] {
        let refusal = Linear::new(5, 3, vb.pp("b")).expect_err("another width").to_string();
        assert!(["`b.weight`", "[3, 4]", "[3, 5]"].iter().all(|part| refusal.contains(part)), "{refusal}");
    }
    assert!(params.set("b.weight", &Tensor::zeros((5, 3), DType::F32, &DEVICE)?).is_err());
    Ok(())
}

#[test]
fn a_value_set_from_somebody_elses_variable_is_a_copy() -> Result<()> {
    let params = seeded(0);
    let other = Var::from_tensor(&Tensor::new(&[1f32, 2.0], &DEVICE)?)?;
    params.set("w", other.as_tensor())?;
    other.set(&Tensor::new(&[7f32, 7.0], &DEVICE)?)?;
    assert_eq!(contents(&params), [("w".to_string(), vec![2], vec![1.0, 2.0])]);
    Ok(())
}

#[test]
fn a_set_of_another_dtype_casts_what_it_is_given() -> Result<()> {
    let params = Params::seeded(0, DType::BF16, &DEVICE);
    params.set("w", &Tensor::new(&[1.001f32], &DEVICE)?)?;
    let var = params.get("w").expect("w");
    assert_eq!((var.dtype(), contents(&params)[0].2[0]), (DType::BF16, 1.0));
    Ok(())
}

#[test]
fn a_saved_model_loads_to_the_last_bit() -> Result<()> {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let (folder, params) = (folder(), Params::seeded(1, dtype, &DEVICE));
        let file = folder.path().join("model.safetensors");
        build(&params.trainable())?;
        params.save(&file).expect("a writable folder");
        assert_eq!(entries(&folder), ["model.safetensors"]);
        let other = Params::seeded(2, dtype, &DEVICE);
        let frozen = other.frozen();
        build(&frozen)?;
        assert_ne!(contents(&other), contents(&params));
        other.load(&file).expect("the same model");
        assert_eq!(contents(&other), contents(&params));
        assert!(other.vars().iter().all(|(_, var)| var.dtype() == dtype));
        let weight = params.get("b.weight").expect("b.weight").flatten_all()?.to_dtype(DType::F64)?;
        let seen = frozen.get((3, 4), "b.weight")?.flatten_all()?.to_dtype(DType::F64)?;
        assert_eq!(weight.to_vec1::<f64>()?, seen.to_vec1::<f64>()?);
    }
    Ok(())
}

#[test]
fn numbers_that_are_none_survive_a_file() -> Result<()> {
    let (folder, params) = (folder(), seeded(0));
    let file = folder.path().join("model.safetensors");
    let odd = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0];
    params.set("w", &Tensor::new(&odd, &DEVICE)?)?;
    params.save(&file).expect("a writable folder");
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&flat(&read_tensors(&file).expect("just written")["w"])?), bits(&odd));
    Ok(())
}

/// Loads a file that must be refused by both loads, and checks that the model is as before; returns the first refusal.
fn refusal(params: &Params, file: &Path) -> Error {
    let before = contents(params);
    let error = params.load(file).expect_err("a foreign file");
    assert_eq!(contents(params), before);
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    error
}

/// A file of the model's tensors after a change.
fn changed(folder: &TempDir, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> PathBuf {
    let file = folder.path().join("changed.safetensors");
    let other = model();
    for (_, var) in other.vars() {
        var.set(&(var.as_detached_tensor() * 2.0).expect("numbers")).expect("the same shape");
    }
    let mut tensors = other.tensors();
    change(&mut tensors);
    save_tensors(tensors, &file).expect("a writable folder");
    file
}

#[test]
fn a_missing_file_is_refused_by_name_with_the_systems_reason() {
    let folder = folder();
    let error = refusal(&model(), &folder.path().join("absent.safetensors"));
    assert!(matches!(&error, Error::Io { doing: "reading", .. }), "{error}");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(source.contains("os error 2"), "{source}");
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let (folder, params) = (folder(), model());
    let file = changed(&folder, |_| ());
    let bytes = std::fs::read(&file).expect("just written");
    for length in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        std::fs::write(&file, &bytes[..length]).expect("a writable folder");
        let error = refusal(&params, &file);
        assert!(matches!(&error, Error::Format { .. }), "{length} bytes: {error}");
    }
    std::fs::write(&file, [bytes.as_slice(), b"!"].concat()).expect("a writable folder");
    assert!(matches!(refusal(&params, &file), Error::Format { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (folder, params) = (folder(), model());
        let file = folder.path().join("noise.safetensors");
        std::fs::write(&file, &bytes).unwrap();
        let unreadable = matches!(refusal(&params, &file), Error::Format { .. });
        prop_assert!(unreadable);
        prop_assert!(params.load_matching(&file).is_err());
    }

    /// A header of random text of the right length reaches the parser behind the first check.
    #[test]
    fn random_headers_are_refused_without_panic(header in "\\PC{0,120}", data in 0..40usize) {
        let (folder, params) = (folder(), model());
        let file = folder.path().join("noise.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        std::fs::write(&file, &bytes).unwrap();
        refusal(&params, &file);
    }

    #[test]
    fn a_file_with_wrong_bytes_is_refused_whole_or_loaded_whole(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (folder, params) = (folder(), model());
        let file = changed(&folder, |_| ());
        let mut bytes = std::fs::read(&file).unwrap();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        std::fs::write(&file, &bytes).unwrap();
        let before = contents(&params);
        if params.load(&file).is_err() {
            prop_assert_eq!(contents(&params), before);
        }
        drop(params.load_matching(&file));
    }
}

#[test]
fn a_foreign_model_is_refused_with_the_first_missing_and_the_first_foreign_name() {
    let (folder, params) = (folder(), model());
    let file = changed(&folder, |tensors| {
        for name in ["a.fc2.bias", "b.weight"] {
            let tensor = tensors.remove(name).expect("a parameter");
            tensors.insert(format!("z.{name}"), tensor);
        }
        tensors.insert("y".into(), Tensor::zeros(1, DType::F32, &DEVICE).expect("a number"));
    });
    let error = refusal(&params, &file);
    let Error::Names { found, missing_count, missing, extra_count, extra, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*found, *missing_count, *extra_count), (7, 2, 3));
    assert_eq!((missing.as_str(), extra.as_str()), ("a.fc2.bias", "y"));
    let text = error.to_string();
    assert!(text.contains("`a.fc2.bias`") && text.contains("`y`"), "{text}");
}

#[test]
fn a_name_too_few_or_too_many_is_refused() {
    let (folder, params) = (folder(), model());
    let error = refusal(&params, &changed(&folder, |tensors| drop(tensors.remove("b.bias"))));
    assert!(error.to_string().contains("absent (first: `b.bias`) and 0 are foreign (first: `-`)"), "{error}");
    let more = changed(&folder, |tensors| {
        tensors.insert("c".into(), Tensor::zeros(1, DType::F32, &DEVICE).expect("a number"));
    });
    let error = refusal(&params, &more);
    assert!(error.to_string().contains("absent (first: `-`) and 1 are foreign (first: `c`)"), "{error}");
}

#[test]
fn another_shape_or_dtype_is_refused_with_both() {
    let (folder, params) = (folder(), model());
    let file = changed(&folder, |tensors| {
        // The last name in order: everything before it would have been set by a careless load.
        let turned = tensors["b.weight"].t().and_then(|weight| weight.contiguous()).expect("a matrix");
        tensors.insert("b.weight".into(), turned);
    });
    let error = refusal(&params, &file);
    assert!(matches!(&error, Error::Tensor { name, .. } if name == "b.weight"), "{error}");
    assert!(error.to_string().contains("`b.weight` is F32 [4, 3], expected F32 [3, 4]"), "{error}");
    let before = contents(&params);
    assert!(matches!(params.load_matching(&file), Err(Error::Tensor { .. })));
    assert_eq!(contents(&params), before);
    let file = changed(&folder, |tensors| {
        let half = tensors["b.weight"].to_dtype(DType::BF16).expect("numbers");
        tensors.insert("b.weight".into(), half);
    });
    let error = refusal(&params, &file);
    assert!(error.to_string().contains("`b.weight` is BF16 [3, 4], expected F32 [3, 4]"), "{error}");
}

/// Some dtypes of the format have no arithmetic in candle: their cast fails, and must fail before anything is set.
#[test]
fn a_dtype_that_cannot_be_cast_is_refused_and_changes_nothing() -> Result<()> {
    let (folder, params) = (folder(), seeded(0));
    params.set("a", &Tensor::new(&[1f32, 2.0, 3.0], &DEVICE)?)?;
    params.set("b", &Tensor::new(&[1f32, 2.0, 3.0], &DEVICE)?)?;
    let numbers: Vec<u8> = [7f32; 3].iter().flat_map(|number| number.to_le_bytes()).collect();
    let tensors = HashMap::from([
        ("a", TensorView::new(Dtype::F32, vec![3], &numbers).expect("three numbers")),
        ("b", TensorView::new(Dtype::F8_E8M0, vec![3], &[0; 3]).expect("three bytes")),
    ]);
    let file = folder.path().join("model.safetensors");
    std::fs::write(&file, safetensors::serialize(&tensors, None).expect("plain tensors"))?;
    let before = contents(&params);
    for loaded in [params.load(&file), params.load_matching(&file).map(|_| ())] {
        assert!(matches!(&loaded, Err(Error::Tensor { name, .. }) if name == "b"), "{loaded:?}");
        assert_eq!(contents(&params), before);
    }
    Ok(())
}

#[test]
fn load_matching_takes_what_fits_and_reports_the_rest() -> Result<()> {
    let (folder, params) = (folder(), model());
    let before = contents(&params);
    let file = changed(&folder, |tensors| {
        tensors.retain(|name, _| name.starts_with("b."));
        tensors.insert("y_embedder".into(), Tensor::zeros(1, DType::F32, &DEVICE).expect("a number"));
        // Published weights come in half precision.
        let half = tensors["b.weight"].to_dtype(DType::F16).expect("numbers");
        tensors.insert("b.weight".into(), half);
    });
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        params.load_matching(&file).expect("matching shapes"),
        LoadReport {
            used: names(&["b.bias", "b.weight"]),
            created: names(&["a.fc1.bias", "a.fc1.weight", "a.fc2.bias", "a.fc2.weight"]),
            left: names(&["y_embedder"]),
        }
    );
    for ((name, _, old), (_, _, new)) in before.iter().zip(contents(&params)) {
        let factor = if name.starts_with("b.") { 2.0 } else { 1.0 };
        assert!(old.iter().zip(&new).all(|(old, new)| (factor * old - new).abs() < 2e-3), "{name}");
    }
    assert!(params.get("b.weight").is_some_and(|var| var.dtype() == DType::F32));
    assert!(params.get("y_embedder").is_none());
    Ok(())
}

#[test]
fn saving_into_a_missing_folder_names_the_file_and_leaves_nothing() {
    let folder = folder();
    let file = folder.path().join("missing").join("file");
    let error = model().save(&file).expect_err("no folder");
    assert!(matches!(&error, Error::Io { doing: "writing", .. }), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    assert!(entries(&folder).is_empty());
}

/// Output, gradient to the input, and the ids for which the store keeps a gradient.
fn backward(layer: &Linear, x: &Var, upstream: &Tensor) -> Result<(Vec<f64>, Vec<f64>, usize)> {
    let y = layer.forward(x.as_tensor())?;
    let grads = y.mul(upstream)?.sum_all()?.backward()?;
    let gradient = grads.get(x.as_tensor()).expect("a gradient of the input");
    let values = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
    Ok((values(&y)?, values(gradient)?, grads.get_ids().count()))
}

#[test]
fn a_frozen_linear_layer_passes_the_same_gradient_as_a_trained_one_and_keeps_fewer() -> Result<()> {
    // f32 and f64 take different paths on the CPU. Bits may differ: a product may be summed in another order.
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        for (rows, inputs, outputs) in [(1, 3, 5), (7, 4, 4), (32, 48, 17)] {
            let params = Params::seeded(5, dtype, &DEVICE);
            let x = Var::from_tensor(&random("x", (rows, inputs))?.to_dtype(dtype)?)?;
            let upstream = random("upstream", (rows, outputs))?.to_dtype(dtype)?;
            let trained = Linear::new(inputs, outputs, params.trainable())?;
            params.set("bias", &random("bias", outputs)?)?;
            let (y, gradient, kept) = backward(&trained, &x, &upstream)?;
            let frozen = Linear::new(inputs, outputs, params.frozen())?;
            let (same_y, same_gradient, kept_frozen) = backward(&frozen, &x, &upstream)?;
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance);
            assert!(close(&y, &same_y) && close(&gradient, &same_gradient), "{dtype:?} {rows} rows");
            assert!(kept_frozen < kept, "{dtype:?}: {kept_frozen} of {kept} gradients kept");
        }
    }
    Ok(())
}

#[test]
fn backward_through_frozen_layers_keeps_no_gradient_of_their_size() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let params = Params::seeded(1, dtype, &DEVICE);
        let (mlp, linear) = build(&params.frozen())?;
        let x = Var::from_tensor(&random("x", (2, 4))?.to_dtype(dtype)?)?;
        let grads = linear.forward(&mlp.forward(x.as_tensor())?)?.sqr()?.sum_all()?.backward()?;
        let vars = params.vars();
        let frozen = vars.iter().map(|(name, var)| (name.as_str(), var));
        let complaints = cola_golden::gradients_cover(&grads, [("x", &x)], frozen)?;
        assert!(complaints.is_empty(), "{complaints:#?}");
        for id in grads.get_ids() {
            let dims = grads.get_id(*id).expect("an entry").dims();
            assert!(dims[0] == 2, "{dtype:?}: a gradient of shape {dims:?} is kept"); // not an activation of two rows
        }
    }
    Ok(())
}
