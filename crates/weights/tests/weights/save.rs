//! Saved, opened again, equal bits.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Tensor};
use cola_weights::{Error, Weights, save, table};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{DEVICE, folder, tensor};

fn entries(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn tensors() -> BTreeMap<String, Tensor> {
    let values =
        Tensor::arange(0f64, 24.0, &DEVICE).and_then(|values| values.reshape((2, 3, 4))).expect("24");
    [DType::U8, DType::U32, DType::I64, DType::BF16, DType::F16, DType::F32, DType::F64]
        .into_iter()
        .map(|dtype| (format!("{dtype:?}.x"), values.to_dtype(dtype).expect("a dtype")))
        // Another order in memory than in the file.
        .chain([("turned".to_string(), values.t().expect("three sides"))])
        .chain([("part".to_string(), values.narrow(0, 1, 1).expect("two rows"))])
        .chain([("none".to_string(), Tensor::zeros((0, 3), DType::F32, &DEVICE).expect("no numbers"))])
        .collect()
}

fn bytes(tensor: &Tensor) -> (DType, Vec<usize>, Vec<u64>) {
    let values =
        tensor.flatten_all().and_then(|x| x.to_dtype(DType::F64)?.to_vec1::<f64>()).expect("numbers");
    (tensor.dtype(), tensor.dims().to_vec(), values.into_iter().map(f64::to_bits).collect())
}

fn assert_same(weights: &Weights, tensors: &BTreeMap<String, Tensor>) {
    assert_eq!(
        weights.tensors().map(|stored| stored.name).collect::<Vec<_>>(),
        tensors.keys().collect::<Vec<_>>()
    );
    for (name, tensor) in tensors {
        assert_eq!(bytes(&weights.read(name).expect("just saved")), bytes(tensor), "{name}");
    }
}

#[test]
fn one_file_comes_back_bit_for_bit_to_us_and_to_the_formats_own_library() {
    let (folder, tensors) = (folder(), tensors());
    save(folder.path(), tensors.clone(), &json!({ "hidden_size": 3 }), u64::MAX).expect("a writable folder");
    assert_eq!(entries(&folder), ["config.json", "model.safetensors"]);
    let weights = Weights::open(folder.path()).expect("just saved");
    assert_same(&weights, &tensors);
    assert_eq!(table(&weights).metadata["format"], "pt");
    let bytes = fs::read(folder.path().join("model.safetensors")).expect("just saved");
    assert_eq!(bytes[0] % 8, 0, "numbers start where readers that map the file can use them");
    let theirs = candle_core::safetensors::load_buffer(&bytes, &DEVICE).expect("a valid file");
    assert_eq!(theirs.len(), tensors.len());
    let config: Value =
        serde_json::from_slice(&fs::read(folder.path().join("config.json")).expect("saved")).expect("JSON");
    assert_eq!(config, json!({ "hidden_size": 3 }));
}

#[test]
fn shards_are_as_small_as_asked_and_one_checkpoint() {
    let (folder, tensors) = (folder(), tensors());
    let most = 200;
    save(folder.path(), tensors.clone(), &json!({}), most).expect("a writable folder");
    let weights = Weights::open(folder.path()).expect("just saved");
    assert_same(&weights, &tensors);
    let count = weights.files().len();
    assert!(count > 1 && entries(&folder).len() == count + 2, "{:?}", entries(&folder));
    assert!(entries(&folder).contains(&format!("model-00001-of-{count:05}.safetensors")));
    let index = fs::read(folder.path().join("model.safetensors.index.json")).expect("an index");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let total: u64 = weights.tensors().map(|stored| stored.bytes).sum();
    assert_eq!(index["metadata"]["total_size"], json!(total));
    assert_eq!(index["weight_map"].as_object().expect("a map").len(), tensors.len());
    let mut sizes = BTreeMap::new();
    for stored in weights.tensors() {
        let (bytes, members) = sizes.entry(stored.file).or_insert((0, 0));
        (*bytes, *members) = (*bytes + stored.bytes, *members + 1);
    }
    assert!(sizes.values().all(|&(bytes, members)| bytes <= most || members == 1), "{sizes:?}");
}

#[test]
fn a_folder_with_a_checkpoint_is_not_touched() {
    let folder = folder();
    let x = |value: f32| [("x".to_string(), tensor(&[value]))];
    save(folder.path(), x(1.0), &json!({ "a": 1 }), u64::MAX).expect("a new folder");
    let error = save(folder.path(), x(2.0), &json!({ "a": 2 }), u64::MAX).expect_err("occupied");
    assert!(matches!(&error, Error::Occupied { found, .. } if found == "model.safetensors"), "{error}");
    assert_eq!(
        Weights::open(folder.path())
            .expect("the old one")
            .read("x")
            .expect("x")
            .to_vec1::<f32>()
            .expect("f32"),
        [1.0]
    );
    assert!(fs::read_to_string(folder.path().join("config.json")).expect("the old one").contains('1'));
}

#[test]
fn a_save_that_failed_leaves_no_checkpoint_and_can_be_repeated() {
    let folder = folder();
    // A folder where the second shard should go.
    let way = folder.path().join("model-00002-of-00002.safetensors");
    fs::create_dir(&way).expect("a writable folder");
    let two = || [("a".to_string(), tensor(&[1.0])), ("b".to_string(), tensor(&[2.0]))];
    let text = save(folder.path(), two(), &json!({}), 4).expect_err("in the way").to_string();
    assert!(text.contains("model-00002-of-00002.safetensors: writing failed"), "{text}");
    assert!(!folder.path().join("model.safetensors.index.json").exists());
    assert!(folder.path().join("model-00001-of-00002.safetensors").exists());
    fs::remove_dir(&way).expect("an empty folder");
    let error = Weights::open(folder.path()).map(|_| ()).expect_err("a part is no whole");
    assert!(
        matches!(&error, Error::NoWeights { found, .. } if found.contains("without its index")),
        "{error}"
    );
    save(folder.path(), two(), &json!({}), 4).expect("nothing in the way");
    assert_eq!(Weights::open(folder.path()).expect("just saved").tensors().len(), 2);
}

proptest! {
    // Each case waits for the disk a few times.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_tensors_come_back(
        shapes in prop::collection::btree_map("[a-c]{1,2}(\\.[0-9])?", prop::collection::vec(0..4usize, 0..4), 0..8),
        most in 0..200u64,
    ) {
        let tensors: BTreeMap<String, Tensor> = shapes
            .into_iter()
            .map(|(name, shape)| (name, Tensor::randn(0f32, 1.0, shape, &DEVICE).expect("numbers")))
            .collect();
        let folder = folder();
        save(folder.path(), tensors.clone(), &json!({}), most).expect("a writable folder");
        assert_same(&Weights::open(folder.path()).expect("just saved"), &tensors);
    }
}
