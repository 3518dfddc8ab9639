//! One reference file: its tensors, its configuration, its verdicts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};
use serde_json::Value;

use crate::Tolerance;

/// A port in f64 differs from the stored float32 result by the reference's own rounding, which the file states, and by
/// nothing else; the rest is for what the statement, one number a tensor, leaves out.
pub(crate) const IN_F64: Tolerance = Tolerance::Noise(1.5);

/// Another float32 program rounds elsewhere: 4 to 10 times the stated rounding, say the makers of the files.
pub(crate) const IN_F32: Tolerance = Tolerance::Noise(10.0);

/// An open reference file.
pub struct Golden {
    pub(crate) name: String,
    tensors: BTreeMap<String, Tensor>,
    config: Value,
    pub(crate) noise: Value,
    pub(crate) worst: std::cell::Cell<f64>,
    pub(crate) compared: std::cell::RefCell<BTreeSet<String>>,
    pub(crate) failures: std::cell::RefCell<Vec<String>>,
    pub(crate) dtype: std::cell::Cell<DType>,
    pub(crate) tolerance: std::cell::Cell<Tolerance>,
}

impl Golden {
    /// Opens a file on the CPU, tensors in their stored dtypes.
    ///
    /// # Panics
    /// If the file is no reference file: a test cannot go on without it.
    pub fn open(path: &Path) -> Self {
        let fail = |what: String| -> ! { panic!("{}: {what}", path.display()) };
        let bytes = std::fs::read(path).unwrap_or_else(|error| fail(error.to_string()));
        let (_, header) =
            safetensors::SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| fail(error.to_string()));
        let metadata: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        let json = |key: &str| -> Value {
            metadata.get(key).map_or(Value::Null, |text| {
                serde_json::from_str(text).unwrap_or_else(|error| fail(format!("metadata `{key}`: {error}")))
            })
        };
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .unwrap_or_else(|error| fail(error.to_string()));
        Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            tensors: tensors.into_iter().collect(),
            config: json("config"),
            noise: json("f32_vs_f64"),
            worst: std::cell::Cell::new(0.0),
            compared: std::cell::RefCell::default(),
            failures: std::cell::RefCell::default(),
            dtype: std::cell::Cell::new(DType::F32),
            tolerance: std::cell::Cell::new(IN_F32),
        }
    }

    /// The file's name without folder and ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the port computes in now; f32 outside [`crate::run_in_both`].
    pub fn dtype(&self) -> DType {
        self.dtype.get()
    }

    /// How far a value of this dtype may be from the stored one.
    pub fn tolerance(&self) -> Tolerance {
        self.tolerance.get()
    }

    /// The case's configuration, a JSON object.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// A whole number of the configuration.
    ///
    /// # Panics
    /// If it is absent.
    pub fn int(&self, key: &str) -> usize {
        self.config[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{}: config has no whole number `{key}`", self.name)) as usize
    }

    /// A real number of the configuration.
    ///
    /// # Panics
    /// If it is absent.
    pub fn float(&self, key: &str) -> f64 {
        self.config[key].as_f64().unwrap_or_else(|| panic!("{}: config has no number `{key}`", self.name))
    }

    /// Whether the file has this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor by its full name, in its stored dtype.
    ///
    /// # Panics
    /// If it is absent.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor `{name}`", self.name))
    }

    /// `input.<name>` in the given dtype.
    pub fn input(&self, name: &str, dtype: DType) -> Result<Tensor> {
        self.tensor(&format!("input.{name}")).to_dtype(dtype)
    }

    /// `input.<name>` as a variable, to ask for its gradient.
    pub fn input_var(&self, name: &str, dtype: DType) -> Result<Var> {
        Var::from_tensor(&self.input(name, dtype)?)
    }

    /// Full names below a prefix, e.g. `grad.weight.`, in order.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// All weights below `prefix` (e.g. `weight.` or `weight.block.`), named by the rest, in the given dtype.
    pub fn weights(&self, prefix: &str, dtype: DType) -> Result<HashMap<String, Tensor>> {
        self.names(prefix)
            .map(|name| Ok((name[prefix.len()..].to_string(), self.tensor(name).to_dtype(dtype)?)))
            .collect()
    }
}
