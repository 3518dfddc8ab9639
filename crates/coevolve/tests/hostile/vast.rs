//! Files that ask for more than there is, one wish at a time.

use std::path::Path;

use candle_core::Device;
use cola_coevolve::{Adapter, ExperimentConfig, Run, StoredLam};
use cola_nn::read_tensors;

use crate::allocation::{alone, bounded};
use crate::checkpoint::{files, unsealed};

fn refusal(case: &str, folder: &Path) -> String {
    let bytes = files(folder).iter().map(|(_, bytes)| bytes.len()).sum();
    let (opened, _) = bounded(case, bytes, || Run::open(folder, &Device::Cpu).err());
    opened.unwrap_or_else(|| panic!("{case}: it opened")).to_string()
}

#[test]
fn a_configuration_of_a_terabyte_is_refused_before_a_model_is_made() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = unsealed(root.path());
    let file = folder.join("config.toml");
    let config = ExperimentConfig::read(&file).expect("the configuration");
    let _alone = alone();
    // Each is a configuration that `check` accepts, and a model of a gigabyte to a terabyte.
    let wishes: [(&[&str], &str); 8] = [
        (&["dit.hidden_size=65536", "dit.num_heads=16"], "action.safetensors"),
        (&["dit.depth=1024"], "backbone.safetensors"),
        (&["dit.action.width=65536"], "action.safetensors"),
        (&["dit.mlp_ratio=64"], "backbone.safetensors"),
        (&["lam.dim=65536", "lam.image=4", "lam.max_frames=4"], "lam.safetensors"),
        (&["lam.layers=1024"], "lam.safetensors"),
        (&["lam.fdm_layers=1024"], "fdm.safetensors"),
        (&["codec.factor=16", "dit.in_channels=768"], "safetensors"),
    ];
    for (wish, named) in wishes {
        let vast = config.with_all(wish).unwrap_or_else(|error| panic!("{wish:?}: {error}"));
        std::fs::write(&file, vast.to_toml().expect("TOML")).expect("the file");
        let told = refusal(&format!("{wish:?}"), &folder);
        assert!(
            told.contains(named) && told.contains("expected") || told.contains("absent"),
            "{wish:?}: {told}"
        );
    }
    let vast =
        config.with_all(&["lam.dim=65536", "lam.image=4", "lam.max_frames=4"]).expect("a configuration");
    std::fs::write(&file, vast.to_toml().expect("TOML")).expect("the file");
    let (opened, _) =
        bounded("latent action model", 1 << 20, || StoredLam::open(&folder, &Device::Cpu).err());
    assert!(opened.expect("another model").to_string().contains("lam.safetensors"));
}

#[test]
fn the_largest_tables_of_positions_stay_within_the_bound() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = unsealed(root.path());
    let file = folder.join("config.toml");
    let config = ExperimentConfig::read(&file).expect("the configuration");
    let _alone = alone();
    // No file of a checkpoint says how many patches a picture has, so that this one opens.
    let side = (1usize << 21).div_euclid(config.lam.dim).isqrt() * config.lam.patch;
    let frames = (1usize << 21) / config.lam.dim;
    let wish = [format!("lam.image={side}"), format!("lam.max_frames={frames}")];
    let vast = config.with_all(&wish).unwrap_or_else(|error| panic!("{wish:?}: {error}"));
    std::fs::write(&file, vast.to_toml().expect("TOML")).expect("the file");
    std::fs::remove_file(folder.join("lam.version")).expect("the version, which knows the picture");
    let bytes = files(&folder).iter().map(|(_, bytes)| bytes.len()).sum();
    let (opened, taken) =
        bounded("largest tables", bytes, || Run::open(&folder, &Device::Cpu).map(drop).map_err(Box::new));
    opened.expect("a checkpoint");
    println!("{taken:?}");
    let beyond = [format!("lam.image={}", side + config.lam.patch)];
    assert!(config.with_all(&beyond).is_err());
}

#[test]
fn sizes_whose_tables_or_products_would_overflow_are_refused_by_name() {
    let config = crate::support::config("LAM2");
    for (wish, named) in [
        ("codec.factor=4294967296", "codec.factor"),
        ("codec.factor=32", "codec.factor is 32"),
        ("data.batch=9223372036854775807", ""),
        ("lam.image=1073741824", "`image` = 1073741824"),
        ("lam.max_frames=1073741824", "`max_frames`"),
        ("lam.tokens=1073741824", "`tokens`"),
        ("lam.dim=1073741824", "`dim`"),
        ("lam.layers=1073741824", "`layers`"),
        ("lam.code_dim=1073741824", "`code_dim`"),
    ] {
        // A batch that large may be asked for; no product of it may run over.
        let found = config.with(wish).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(found.contains(named), "{wish}: {found}");
    }
}

#[test]
fn a_state_of_many_empty_windows_takes_no_more_than_its_bytes() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = unsealed(root.path());
    let file = folder.join("state.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("the state")).expect("JSON");
    let empty = serde_json::json!({
        "steps": 0,
        "usage": { "positions": 1, "entries": 16_777_216, "actions": [] },
    });
    state["health"]["stretches"] = vec![empty; 1000].into();
    std::fs::write(&file, state.to_string()).expect("the state");
    let _alone = alone();
    assert!(refusal("1000 windows", &folder).contains("health.stretches"));
    state["health"]["stretches"] = serde_json::json!([]);
    state["updates"]["codec.shift"] = u64::MAX.into();
    std::fs::write(&file, state.to_string()).expect("the state");
    let told = refusal("a counter at its end", &folder);
    assert!(told.contains("`updates`") && told.contains("at most the 4"), "{told}");
}

#[test]
fn a_header_that_claims_more_than_its_file_is_refused_early() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("a.safetensors");
    let sides = "0,".repeat(500_000);
    let names: String = (0..20_000)
        .map(|name| format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},"))
        .collect();
    let header = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let hostile: [(&str, Vec<u8>); 6] = [
        ("a length of 2^64 - 1", vec![0xff; 8]),
        ("a length of 90 MB", [&90_000_000u64.to_le_bytes()[..], b"{}"].concat()),
        (
            "a tensor of 2^60 bytes",
            header(
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1152921504606846976],\"data_offsets\":[0,1152921504606846976]}}",
            ),
        ),
        (
            "half a million sides",
            header(&format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{sides}1],\"data_offsets\":[0,4]}}}}")),
        ),
        (
            "many names and a tail",
            [header(&format!("{{{}}}", names.trim_end_matches(','))), vec![0]].concat(),
        ),
        ("deep nesting", header(&"[".repeat(1_000_000))),
    ];
    let _alone = alone();
    for (case, bytes) in hostile {
        std::fs::write(&file, &bytes).expect("a folder");
        let (read, _) = bounded(case, bytes.len(), || read_tensors(&file).err());
        let told = read.unwrap_or_else(|| panic!("{case}: it was read")).to_string();
        assert!(told.contains("a.safetensors") && told.len() < 2000, "{case}: {told}");
        let (adapter, _) = bounded(case, bytes.len(), || Adapter::load(&file, "a version").err());
        assert!(adapter.is_some(), "{case}");
    }
}
