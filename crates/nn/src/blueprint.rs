//! Names and shapes of a model that is not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};

/// The parameters that a model asks for, by name: `build` is run once with a builder that has every tensor but holds a
/// single number for each. What needs gigabytes costs a few kilobytes.
///
/// ```
/// use cola_nn::{Linear, blueprint};
///
/// # fn main() -> candle_core::Result<()> {
/// let shapes = blueprint(|vb| Linear::new(1 << 20, 1 << 20, vb.pp("vast")))?;
/// assert_eq!(shapes["vast.weight"].elem_count(), 1 << 40);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `build`.
pub fn blueprint<M>(build: impl FnOnce(VarBuilder<'static>) -> Result<M>) -> Result<BTreeMap<String, Shape>> {
    let asked: Arc<Mutex<BTreeMap<String, Shape>>> = Arc::default();
    let backend: Box<dyn SimpleBackend> = Box::new(Blueprint { asked: asked.clone() });
    build(VarBuilder::from_backend(backend, DType::F32, Device::Cpu))?;
    let shapes = asked.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(shapes.clone())
}

struct Blueprint {
    asked: Arc<Mutex<BTreeMap<String, Shape>>>,
}

impl SimpleBackend for Blueprint {
    fn get(&self, shape: Shape, name: &str, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = Tensor::zeros(1, dtype, device)?.broadcast_as(shape.clone())?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), shape);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        candle_core::bail!("a blueprint cannot say which shape the parameter `{name}` has")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}
