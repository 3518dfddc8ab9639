//! Pickles are programs and are never run: every door that takes safetensors refuses them by name.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use cola_coevolve::{Adapter, Run, StoredLam, checkpoint};
use cola_nn::{Linear, Params, read_tensors};
use cola_weights::Weights;

use crate::support;

/// PyTorch's archive, and pickles of every protocol that names itself. Each would call `os.system`.
fn pickles() -> Vec<Vec<u8>> {
    let program = b"cos\nsystem\n(S'true'\ntR.";
    let archive = [b"PK\x03\x04\x14\x00\x00\x00\x00\x00".as_slice(), b"archive/data.pkl", program].concat();
    (2..=5u8).map(|protocol| [&[0x80, protocol], program.as_slice()].concat()).chain([archive]).collect()
}

fn refused<T, E: std::error::Error + 'static>(door: &str, opened: Result<T, E>) {
    let Err(error) = opened else { panic!("{door} opened a pickle") };
    let told: String = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(|error| format!("{error}\n"))
        .collect();
    assert!(
        told.contains("PyTorch pickle") && told.contains("runs code") && told.contains("safetensors"),
        "{door}: {told}"
    );
}

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn deny_pickle() {
    let root = tempfile::tempdir().expect("a folder");
    let config = support::config("LAM2+WARM2");
    support::train(&config, root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");
    // A resume would pass over to these.
    for older in checkpoint::list(root.path()).into_iter().filter(|older| *older != folder) {
        std::fs::remove_dir_all(older).expect("an older checkpoint");
    }
    // Without checksums, which would refuse any change first.
    let state = folder.join("state.json");
    let mut fields: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&state).expect("the state")).expect("JSON");
    (fields["format"], fields["files"]) = (1.into(), serde_json::json!({}));
    std::fs::write(&state, fields.to_string()).expect("the state");
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    Linear::new(3, 4, params.frozen()).expect("a layer");
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");

    for pickle in pickles() {
        for name in ["model.safetensors", "model.pt"] {
            let file = root.path().join(name);
            std::fs::write(&file, &pickle).expect("a folder");
            refused("read_tensors", read_tensors(&file));
            refused("Params::load", params.load(&file));
            refused("Params::load_matching", params.load_matching(&file));
            refused("Weights::open", Weights::open(&file).map(drop));
            refused("Adapter::load", Adapter::load(&file, "a version").map(drop));
        }
        for set in ["lam", "fdm", "action", "backbone", "codec", "optimizer"] {
            let file = folder.join(format!("{set}.safetensors"));
            let sound = std::fs::read(&file).expect("the checkpoint");
            std::fs::write(&file, &pickle).expect("the checkpoint");
            refused(set, Run::open(&folder, &Device::Cpu).map(drop));
            refused(set, Run::resume(root.path(), &Device::Cpu).map(drop));
            if set == "lam" {
                refused("StoredLam::open", StoredLam::open(&folder, &Device::Cpu).map(drop));
                refused("Run::load_lam", run.load_lam(&folder));
            }
            if ["backbone", "codec"].contains(&set) {
                refused("SystemParams::load_generator", run.params().load_generator(&folder));
            }
            std::fs::write(&file, sound).expect("the checkpoint");
        }
    }
    Run::open(&folder, &Device::Cpu).expect("everything is as it was");
}

#[test]
fn deny_pickle_readers_in_the_sources_and_among_the_packages() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["crates", "examples", "benches", "fuzz/src", "fuzz/targets"] {
        sources(&workspace.join(folder), &mut found);
    }
    found.retain(|path| !path.ends_with("promises/pickle.rs"));
    assert!(found.len() > 100, "{} files were looked at", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a source");
        // candle's readers of PyTorch's files; a `VarMap` reads safetensors alone, but without the checks here.
        for word in ["candle_core::pickle", "PthTensors", "from_pth", "read_pth", "serde_pickle", "VarMap"] {
            assert!(!text.contains(word), "{}: `{word}`", path.display());
        }
    }
    let lock = std::fs::read_to_string(workspace.join("Cargo.lock")).expect("Cargo.lock");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    for name in names {
        let bindings = ["\"tch\"", "\"torch-sys\""];
        assert!(!name.contains("pickle") && !bindings.contains(&name), "Cargo.lock: package {name}");
    }
}
