//! Named variables, seeded by name; trainable and frozen views of the same storage; safetensors in and out.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::init::{FanInOut, Init, NormalOrUniform};
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use cola_random::{normals, stream, uniforms};

use crate::Error;
use crate::stored::read_tensors;

/// The named variables of one part of the system. Cheap to clone; clones share storage.
///
/// Building a model over [`Params::trainable`] or [`Params::frozen`] creates the variables that are not there yet, each
/// drawn from a random stream keyed by (seed, name), and finds the others.
#[derive(Clone)]
pub struct Params {
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
    seed: u64,
    dtype: DType,
    device: Device,
}

/// What a load by name did; names are in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Taken from the file.
    pub used: Vec<String>,
    /// In the model, not in the file: kept as initialised.
    pub created: Vec<String>,
    /// In the file, not in the model: ignored.
    pub left: Vec<String>,
}

impl Params {
    /// An empty set; its variables will be of this dtype on this device.
    pub fn seeded(seed: u64, dtype: DType, device: &Device) -> Self {
        Self { vars: Arc::default(), seed, dtype, device: device.clone() }
    }

    /// An empty set of the same seed, dtype and device.
    pub fn empty(&self) -> Self {
        Self::seeded(self.seed, self.dtype, &self.device)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // The map is only ever inserted into, so a panic elsewhere cannot have left it half changed.
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A builder whose tensors are the variables themselves: gradients arrive.
    pub fn trainable(&self) -> VarBuilder<'static> {
        self.view(false)
    }

    /// A builder whose tensors are detached views: gradients pass through the layers, none arrive here. The views share
    /// the variables' storage, so later updates are seen.
    pub fn frozen(&self) -> VarBuilder<'static> {
        self.view(true)
    }

    /// [`Params::trainable`] or [`Params::frozen`].
    pub fn builder(&self, trains: bool) -> VarBuilder<'static> {
        self.view(!trains)
    }

    fn view(&self, detached: bool) -> VarBuilder<'static> {
        let backend: Box<dyn SimpleBackend> = Box::new(View { params: self.clone(), detached });
        VarBuilder::from_backend(backend, self.dtype, self.device.clone())
    }

    /// The variables by name, always in the same order.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// One variable.
    pub fn get(&self, name: &str) -> Option<Var> {
        self.lock().get(name).cloned()
    }

    /// Hands over every variable's name, shape and f32 values, little-endian and in the order of the names: what a checksum
    /// of the set is taken of.
    ///
    /// # Errors
    /// What the device reports.
    pub fn feed(&self, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        for (name, var) in self.vars() {
            take(&(name.len() as u64).to_le_bytes());
            take(name.as_bytes());
            take(&(var.rank() as u64).to_le_bytes());
            for side in var.dims() {
                take(&(*side as u64).to_le_bytes());
            }
            let values = var.as_detached_tensor().flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            for value in values {
                take(&value.to_le_bytes());
            }
        }
        Ok(())
    }

    /// How many numbers the variables hold.
    pub fn count(&self) -> usize {
        self.lock().values().map(|var| var.elem_count()).sum()
    }

    /// Sets (or adds) a variable from a tensor, cast to the set's dtype and device. For tests and published weights.
    ///
    /// # Errors
    /// A variable of that name with another shape.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<()> {
        let value = value.to_dtype(self.dtype)?.to_device(&self.device)?;
        let mut vars = self.lock();
        match vars.get(name) {
            Some(var) => var.set(&value),
            None => {
                // Detached first: a variable of somebody else's is copied, not shared.
                vars.insert(name.to_string(), Var::from_tensor(&value.detach())?);
                Ok(())
            }
        }
    }

    /// The variables as plain tensors: the views share storage, see [`Params::frozen`].
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Writes all variables to one safetensors file (aside, synced, renamed).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, file: &Path) -> std::result::Result<(), Error> {
        save_tensors(self.tensors(), file)
    }

    /// Sets every variable from a file that must hold exactly this model: same names, shapes and dtype.
    ///
    /// # Errors
    /// [`Error::Names`] and [`Error::Tensor`] say what differs; the variables are unchanged then.
    pub fn load(&self, file: &Path) -> std::result::Result<(), Error> {
        let tensors = read_tensors(file)?;
        let report = self.matching(&tensors);
        if !report.created.is_empty() || !report.left.is_empty() {
            let first = |names: &[String]| names.first().cloned().unwrap_or_else(|| "-".into());
            return Err(Error::Names {
                file: file.to_path_buf(),
                found: tensors.len(),
                missing_count: report.created.len(),
                missing: first(&report.created),
                extra_count: report.left.len(),
                extra: first(&report.left),
            });
        }
        self.set_checked(file, &tensors, &report, true)
    }

    /// Sets the variables that the file has under the same name; the rest stays as it is. For published weights.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a tensor of another shape; the variables are unchanged then. Another dtype is cast.
    pub fn load_matching(&self, file: &Path) -> std::result::Result<LoadReport, Error> {
        let tensors = read_tensors(file)?;
        let report = self.matching(&tensors);
        self.set_checked(file, &tensors, &report, false)?;
        Ok(report)
    }

    fn matching(&self, tensors: &BTreeMap<String, Tensor>) -> LoadReport {
        let vars = self.lock();
        let (used, created) = vars.keys().cloned().partition(|name| tensors.contains_key(name));
        let left = tensors.keys().filter(|name| !vars.contains_key(*name)).cloned().collect();
        LoadReport { used, created, left }
    }

    fn set_checked(
        &self,
        file: &Path,
        tensors: &BTreeMap<String, Tensor>,
        report: &LoadReport,
        same_dtype: bool,
    ) -> std::result::Result<(), Error> {
        let vars = self.lock();
        let mut values = Vec::with_capacity(report.used.len());
        for name in &report.used {
            let (found, expected) = (&tensors[name], &vars[name]);
            let fits =
                found.shape() == expected.shape() && (!same_dtype || found.dtype() == expected.dtype());
            // A dtype that cannot be cast is as foreign as another shape.
            match found.to_dtype(expected.dtype()) {
                Ok(value) if fits => values.push((expected, value.to_device(&self.device)?)),
                _ => {
                    return Err(Error::Tensor {
                        file: file.to_path_buf(),
                        name: name.clone(),
                        found: format!("{:?} {:?}", found.dtype(), found.dims()),
                        expected: format!("{:?} {:?}", expected.dtype(), expected.dims()),
                    });
                }
            }
        }
        // Nothing is set before everything fits.
        for (var, value) in values {
            var.set(&value)?;
        }
        Ok(())
    }
}

/// Writes named tensors to one safetensors file (aside, synced, renamed).
///
/// # Errors
/// [`Error::Io`].
pub fn save_tensors(tensors: HashMap<String, Tensor>, file: &Path) -> std::result::Result<(), Error> {
    let bytes = safetensors::serialize(&tensors, None)
        .map_err(|error| Error::Format { file: file.to_path_buf(), reason: error.to_string() })?;
    cola_files::write_atomically(file, &bytes).map_err(|source| Error::Io {
        file: file.to_path_buf(),
        doing: "writing",
        source,
    })
}

struct View {
    params: Params,
    detached: bool,
}

impl View {
    fn hand_out(&self, var: &Var) -> Tensor {
        if self.detached { var.as_detached_tensor() } else { var.as_tensor().clone() }
    }
}

impl SimpleBackend for View {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut vars = self.params.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                candle_core::bail!(
                    "parameter `{name}` has shape {:?}, the layer needs {shape:?}",
                    var.dims()
                );
            }
            return Ok(self.hand_out(var));
        }
        let values = draw(&shape, init, self.params.seed, name);
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)?;
        vars.insert(name.to_string(), var.clone());
        Ok(self.hand_out(&var))
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        match self.params.lock().get(name) {
            Some(var) => Ok(self.hand_out(var)),
            None => candle_core::bail!("there is no parameter `{name}`"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.params.lock().contains_key(name)
    }
}

/// Initial values, a pure function of (seed, name).
fn draw(shape: &Shape, init: Init, seed: u64, name: &str) -> Vec<f32> {
    let count = shape.elem_count();
    let mut rng = stream(seed, name, 0, 0);
    match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Randn { mean, stdev } => {
            normals(count, &mut rng).into_iter().map(|x| (mean + stdev * f64::from(x)) as f32).collect()
        }
        Init::Uniform { lo, up } => uniforms(count, lo as f32, up as f32, &mut rng),
        Init::Kaiming { dist, fan, non_linearity } => {
            let fan = match fan {
                FanInOut::FanIn => FanInOut::FanIn.for_shape(shape),
                FanInOut::FanOut => FanInOut::FanOut.for_shape(shape),
            };
            let deviation = non_linearity.gain() / (fan as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => {
                    normals(count, &mut rng).into_iter().map(|x| (deviation * f64::from(x)) as f32).collect()
                }
                NormalOrUniform::Uniform => {
                    let bound = (3f64.sqrt() * deviation) as f32;
                    uniforms(count, -bound, bound, &mut rng)
                }
            }
        }
    }
}
