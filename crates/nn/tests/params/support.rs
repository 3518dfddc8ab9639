//! A small model and what it holds.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Linear, Mlp, Params, normal};
use cola_random::stream;
use tempfile::TempDir;

pub(crate) const DEVICE: Device = Device::Cpu;

pub(crate) fn seeded(seed: u64) -> Params {
    Params::seeded(seed, DType::F32, &DEVICE)
}

pub(crate) fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

pub(crate) fn random(name: &str, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    normal(shape, &DEVICE, &mut stream(3, name, 0, 0))
}

/// All names and values.
pub(crate) fn contents(params: &Params) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let values = |var: &Var| flat(&var.to_dtype(DType::F32).expect("a float")).expect("on the CPU");
    params.vars().iter().map(|(name, var)| (name.clone(), var.dims().to_vec(), values(var))).collect()
}

/// A small model: `a.fc1`, `a.fc2` and `b`.
pub(crate) fn build(vb: &VarBuilder) -> Result<(Mlp, Linear)> {
    Ok((Mlp::new(4, 6, vb.pp("a"))?, Linear::new(4, 3, vb.pp("b"))?))
}

/// A model of seed 1 with random biases, too.
pub(crate) fn model() -> Params {
    let params = seeded(1);
    build(&params.trainable()).expect("a model");
    for (name, var) in params.vars() {
        var.set(&random(&name, var.shape()).expect("numbers")).expect("the same shape");
    }
    params
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a writable temporary folder")
}

pub(crate) fn entries(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
