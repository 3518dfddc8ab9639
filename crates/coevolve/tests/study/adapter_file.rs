use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use cola_coevolve::{Adapter, AdapterConfig, Choice, Error, Recipe, StudyError, Target};
use cola_nn::read_tensors;

use crate::support::{codebook, coded, study_error};

fn trained(target: Target) -> Adapter {
    let recipe = Recipe { steps: 20, ..Recipe::new(16) };
    let config = AdapterConfig { hidden: 8, target, recipe };
    let pairs = coded(40, 1, |codes| codes.map(|code| code as f32));
    Adapter::train(&pairs, &codebook(), "run 3, step 8000", &config).expect("an adapter").0
}

/// A stored adapter, and the means to spoil it.
struct Stored {
    _folder: tempfile::TempDir,
    file: PathBuf,
    tensors: HashMap<String, Tensor>,
    text: String,
}

impl Stored {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("adapter.safetensors");
        trained(Target::Codes).save(&file).expect("a file");
        let tensors = read_tensors(&file).expect("tensors").into_iter().collect();
        let bytes = std::fs::read(&file).expect("bytes");
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("metadata");
        let text = metadata.metadata().as_ref().expect("metadata")["adapter"].clone();
        Self { _folder: folder, file, tensors, text }
    }

    fn write(&self) -> &Path {
        let metadata = HashMap::from([("adapter".to_string(), self.text.clone())]);
        let bytes = safetensors::serialize(&self.tensors, Some(metadata)).expect("bytes");
        std::fs::write(&self.file, bytes).expect("a file");
        &self.file
    }

    /// What opening it says is wrong: the tensor or field, and the whole message.
    fn complaint(&self) -> (String, String) {
        let error = study_error(Adapter::load(self.write(), "run 3, step 8000"));
        let message = error.to_string();
        match error {
            StudyError::AdapterFile { what, .. } => (what, message),
            _ => panic!("{message}"),
        }
    }

    fn replace(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{}", self.text);
        self.text = self.text.replace(from, to);
    }
}

#[test]
fn an_adapter_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for target in [Target::Codes, Target::Latent] {
        let adapter = trained(target);
        let file = folder.path().join("adapter.safetensors");
        adapter.save(&file).expect("a file");
        let back = Adapter::load(&file, "run 3, step 8000").expect("the adapter");
        assert_eq!(back.config(), adapter.config());
        assert_eq!(back.quantiles(), adapter.quantiles());
        assert_eq!(back.majority(), adapter.majority());
        assert_eq!(back.codebook_version(), "run 3, step 8000");
        let actions = Tensor::new(&[[0.3f32, 4.0], [5.0, 1.0]], &Device::Cpu).expect("actions");
        let latent = |adapter: &Adapter| {
            let latent = adapter.translate(&actions, Choice::Argmax).expect("latent actions");
            (latent.codes.to_vec2::<u32>().expect("codes"), latent.embedding.to_vec2::<f32>().expect("rows"))
        };
        assert_eq!(latent(&back), latent(&adapter));
    }
}

#[test]
fn another_codebook_is_refused_with_both_versions() {
    let stored = Stored::new();
    let error = study_error(Adapter::load(&stored.file, "run 4, step 100"));
    assert!(matches!(error, StudyError::CodebookVersion { .. }));
    let message = error.to_string();
    assert!(message.contains("run 3, step 8000") && message.contains("run 4, step 100"), "{message}");
}

#[test]
fn a_tensor_that_is_absent_foreign_or_of_another_shape_is_named() {
    for name in
        ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "codebook", "quantiles.low", "quantiles.high"]
    {
        let mut stored = Stored::new();
        let tensor = stored.tensors.remove(name).expect("the tensor");
        assert_eq!(stored.complaint().0, name);
        let flat = tensor.flatten_all().expect("the tensor").unsqueeze(0).expect("the tensor").unsqueeze(0);
        stored.tensors.insert(name.into(), flat.expect("the tensor"));
        let (what, message) = stored.complaint();
        assert!(what.contains(name), "{message}");
        stored.tensors.insert(name.into(), (&tensor * f64::NAN).expect("no numbers"));
        assert!(stored.complaint().0.contains(name), "not finite: {name}");
        stored.tensors.insert(name.into(), tensor.to_dtype(DType::F16).expect("the tensor"));
        assert!(stored.complaint().0.contains(name), "another dtype: {name}");
    }
    let mut stored = Stored::new();
    stored.tensors.insert("fc3.weight".into(), Tensor::new(&[0f32], &Device::Cpu).expect("a tensor"));
    assert_eq!(stored.complaint().0, "fc3.weight");
    let mut stored = Stored::new();
    let low = stored.tensors["quantiles.low"].clone();
    stored.tensors.insert("quantiles.high".into(), low);
    assert_eq!(stored.complaint().0, "quantiles");
}

#[test]
fn metadata_that_contradict_the_tensors_are_refused() {
    for (from, to, what) in [
        ("\"format\":1", "\"format\":2", "format"),
        ("\"hidden\":8", "\"hidden\":18446744073709551615", "fc1.bias"),
        ("\"target\":\"codes\"", "\"target\":\"latent\"", "fc2.bias"),
        ("\"target\":\"codes\"", "\"target\":\"pixels\"", "metadata `adapter`"),
        ("\"format\"", "\"form\"", "metadata `adapter`"),
        ("\"joint\":[", "\"joint\":[0,", "majority"),
        ("\"joint\":[", "\"joint\":[6,", "majority"),
    ] {
        let mut stored = Stored::new();
        stored.replace(from, to);
        let (found, message) = stored.complaint();
        assert_eq!(found, what, "{message}");
        assert!(message.contains("adapter.safetensors"), "{message}");
    }
}

#[test]
fn what_is_no_adapter_at_all_is_an_error() {
    let stored = Stored::new();
    let bytes = std::fs::read(&stored.file).expect("bytes");
    let load = || Adapter::load(&stored.file, "run 3, step 8000").err().expect("an error");
    for length in [0, 7, 8, 100, bytes.len() - 1] {
        std::fs::write(&stored.file, &bytes[..length]).expect("a file");
        assert!(matches!(load(), Error::Params(_)), "{length} bytes");
    }
    let bare = safetensors::serialize(&stored.tensors, None).expect("bytes");
    std::fs::write(&stored.file, bare).expect("a file");
    assert!(load().to_string().contains("metadata `adapter`"));
    std::fs::remove_file(&stored.file).expect("a file");
    assert!(matches!(load(), Error::Params(_)));
}
