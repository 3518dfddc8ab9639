//! Files to open, good and bad.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

pub(crate) const DEVICE: Device = Device::Cpu;

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A safetensors file written by the format's own library.
pub(crate) fn write(file: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> PathBuf {
    let views: BTreeMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).expect("a tensor"))
        })
        .collect();
    let bytes = safetensors::serialize(views, None).expect("tensors");
    std::fs::write(file, bytes).expect("a writable folder");
    file.to_path_buf()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A file of a header's text and bytes behind it, whatever they are.
pub(crate) fn raw(folder: &TempDir, header: &str, data: &[u8]) -> PathBuf {
    let file = folder.path().join("raw.safetensors");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
    std::fs::write(&file, bytes).expect("a writable folder");
    file
}

pub(crate) fn tensor(values: &[f32]) -> Tensor {
    Tensor::new(values, &DEVICE).expect("a tensor")
}
