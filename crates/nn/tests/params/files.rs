//! Files that are whole or refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use cola_nn::{Error, LoadReport, Params, read_tensors, save_tensors};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use crate::support::{DEVICE, build, contents, entries, flat, folder, model, seeded};

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
