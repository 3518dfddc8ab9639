//! Reference files made for the tests, in the folder that cargo keeps for them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cola_golden::Golden;

pub(crate) const DEVICE: Device = Device::Cpu;

/// A folder of its own for a test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden").join(name);
    std::fs::create_dir_all(&folder).expect("a writable target folder");
    folder
}

/// Writes f32 vectors and, if there is any, a metadata text for each key; returns the path.
pub(crate) fn write(name: &str, tensors: &[(&str, Vec<f32>)], metadata: Option<&[(&str, &str)]>) -> PathBuf {
    let tensors = tensors
        .iter()
        .map(|(name, values)| (*name, Tensor::new(values.as_slice(), &DEVICE).expect("a vector")));
    let metadata: Option<HashMap<String, String>> = metadata
        .map(|pairs| pairs.iter().map(|(key, text)| ((*key).to_string(), (*text).to_string())).collect());
    let bytes = safetensors::serialize(tensors, metadata).expect("plain tensors");
    let file = folder(name).join(format!("{name}.safetensors"));
    std::fs::write(&file, bytes).expect("a writable target folder");
    file
}

/// A file of that name with `input.x`, `grad.input.x` and some outputs.
pub(crate) fn open(name: &str) -> Golden {
    let tensors = [
        ("input.x", vec![1.0, 2.0, 3.0]),
        ("grad.input.x", vec![3.0, 3.0, 3.0]),
        ("output.y", vec![1.0, -2.0, 4.0]),
        ("output.exact", vec![1.0, -2.0, 4.0]),
        ("output.nan", vec![1.0, f32::NAN]),
        ("output.infinite", vec![1.0, f32::INFINITY]),
    ];
    let noise = r#"{"output.y":{"max_abs":1e-3},"output.exact":{"max_abs":0.0}}"#;
    let config = r#"{"B":2,"mlp_ratio":4.0,"temporal":true}"#;
    Golden::open(&write(name, &tensors, Some(&[("config", config), ("f32_vs_f64", noise)])))
}

/// The same, under a name that no other thread uses.
pub(crate) fn reference() -> Golden {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("reference-{}-{number}", std::process::id());
    let golden = open(&name);
    std::fs::remove_dir_all(folder(&name)).expect("a folder that nobody else uses");
    golden
}
