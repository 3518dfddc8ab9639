//! From a checkpoint into a model's parameters, one tensor at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use candle_core::Shape;
use cola_nn::{LoadReport, Params};

use crate::nearest::nearest;
use crate::weights::Stored;
use crate::{Error, LoadOptions, Loaded, Result, Weights, numbers};

/// Absent names that a message shows.
const SHOWN: usize = 3;

/// Sets `params` from a checkpoint: the parameters in `expected` (names and shapes, see [`cola_nn::blueprint`]), cast to
/// the set's dtype. The model is built afterwards, over the same `params`, and finds them there: nothing that the file
/// has is drawn at random first, and no more than one tensor is in memory twice.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_nn::{Linear, Params, blueprint};
/// use cola_weights::{LoadOptions, Weights, load};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # let published = Params::seeded(1, DType::F32, &Device::Cpu);
/// # Linear::new(4, 2, published.trainable().pp("head"))?;
/// # cola_weights::save(folder, published.tensors(), &serde_json::json!({}), u64::MAX)?;
/// let weights = Weights::open(folder)?;
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let shapes = blueprint(|vb| Linear::new(4, 2, vb.pp("head")))?;
/// let loaded = load(&weights, &params, &shapes, &LoadOptions::new())?;
/// let model = Linear::new(4, 2, params.trainable().pp("head"))?;
/// println!("{loaded}");
/// # assert_eq!(loaded.names.used, ["head.bias", "head.weight"]);
/// # assert_eq!(model.forward(&Tensor::ones((1, 4), DType::F32, &Device::Cpu)?)?.dims(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Tensors of the file that the model does not have are left and reported.
///
/// # Errors
/// Found before anything is set: [`Error::Missing`] for parameters that are absent and not allowed to be,
/// [`Error::Tensor`] for another shape or a dtype that is no floating-point number, [`Error::Clash`] for a renaming
/// that makes two tensors one, [`Error::Params`] for parameters that are there already in another shape. Found on the way, so that parameters in front of it in the order of names are set already:
/// [`Error::Values`] for NaN and infinite values, [`Error::Io`].
pub fn load(
    weights: &Weights,
    params: &Params,
    expected: &BTreeMap<String, Shape>,
    options: &LoadOptions<'_>,
) -> Result<Loaded> {
    let plan = Plan::new(weights, expected, options)?;
    plan.check(weights, params, expected, options)?;
    let dtype = params.trainable().dtype();
    for (name, stored) in &plan.found {
        let value = weights.read(stored.name)?.reshape(&expected[*name])?.to_dtype(dtype)?;
        // After the cast: a number too large for the model's dtype is as useless as one that was infinite before.
        if let Some((count, first)) = numbers::not_finite(&value)? {
            return Err(Error::Values {
                file: stored.file.to_path_buf(),
                name: stored.name.to_string(),
                count,
                first: index(first, stored.shape),
                dtype: format!("{dtype:?}"),
            });
        }
        params.set(name, &value)?;
    }
    Ok(plan.loaded(expected))
}

/// Which tensor goes where.
struct Plan<'a> {
    /// By the name in the model.
    found: BTreeMap<&'a str, Stored<'a>>,
    missing: Vec<&'a str>,
    left: Vec<Stored<'a>>,
}

impl<'a> Plan<'a> {
    fn new(
        weights: &'a Weights,
        expected: &'a BTreeMap<String, Shape>,
        options: &LoadOptions<'_>,
    ) -> Result<Self> {
        let mut found: BTreeMap<&str, Stored<'_>> = BTreeMap::new();
        let mut left = Vec::new();
        for stored in weights.tensors() {
            let name = options.name(stored.name);
            let Some((name, _)) = name.and_then(|name| expected.get_key_value(&name)) else {
                left.push(stored);
                continue;
            };
            if let Some(other) = found.insert(name, stored) {
                return Err(Error::Clash {
                    path: weights.path().to_path_buf(),
                    name: name.clone(),
                    first: other.name.to_string(),
                    second: stored.name.to_string(),
                });
            }
        }
        let missing = expected.keys().map(String::as_str).filter(|name| !found.contains_key(name)).collect();
        Ok(Self { found, missing, left })
    }

    /// Whether everything fits; only headers and shapes are looked at.
    fn check(
        &self,
        weights: &Weights,
        params: &Params,
        expected: &BTreeMap<String, Shape>,
        options: &LoadOptions<'_>,
    ) -> Result<()> {
        for (&name, stored) in &self.found {
            let shape = expected[name].dims();
            let fits = match options.squeeze {
                true => squeezed(stored.shape) == squeezed(shape),
                false => stored.shape == shape,
            };
            if !fits || !numbers::is_float(stored.dtype) {
                return Err(Error::Tensor {
                    file: stored.file.to_path_buf(),
                    name: stored.name.to_string(),
                    found: format!("{} {:?}", stored.dtype, stored.shape),
                    expected: format!("floating-point numbers {shape:?}{}", alias(name, stored.name)),
                });
            }
        }
        // Parameters of somebody else's model under the same names: setting the first of them would be half a load.
        for (name, var) in params.vars() {
            if let Some(shape) = expected.get(&name).filter(|shape| *shape != var.shape()) {
                return Err(Error::Params {
                    name,
                    found: var.dims().to_vec(),
                    expected: shape.dims().to_vec(),
                });
            }
        }
        let refused: Vec<&str> =
            self.missing.iter().copied().filter(|name| !options.may_create(name)).collect();
        let Some(first) = refused.first() else { return Ok(()) };
        let mut names = format!("`{}`", refused[..SHOWN.min(refused.len())].join("`, `"));
        if refused.len() > SHOWN {
            let _ = write!(names, " and {} more", refused.len() - SHOWN);
        }
        Err(Error::Missing {
            path: weights.path().to_path_buf(),
            count: refused.len(),
            needed: expected.len(),
            names,
            // What the model takes already is not what was meant.
            nearest: nearest(first, self.left.iter().map(|stored| stored.name)).map(str::to_string),
        })
    }

    fn loaded(self, expected: &BTreeMap<String, Shape>) -> Loaded {
        let parameters = |names: &[String]| names.iter().map(|name| expected[name].elem_count()).sum();
        let names = LoadReport {
            used: self.found.keys().map(ToString::to_string).collect(),
            created: self.missing.iter().map(ToString::to_string).collect(),
            left: self.left.iter().map(|stored| stored.name.to_string()).collect(),
        };
        Loaded {
            used: parameters(&names.used),
            created: parameters(&names.created),
            left: self.left.iter().map(Stored::parameters).sum(),
            names,
        }
    }
}

/// A shape without its sides of 1 at the end.
fn squeezed(mut shape: &[usize]) -> &[usize] {
    while let [rest @ .., 1] = shape {
        shape = rest;
    }
    shape
}

/// Tells the model's name where it is another one.
fn alias(name: &str, in_file: &str) -> String {
    if name == in_file { String::new() } else { format!(" (for `{name}`)") }
}

/// The index along each side of a position in row-major order.
fn index(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&side| {
            let here = position % side.max(1);
            position /= side.max(1);
            here
        })
        .collect();
    index.reverse();
    index
}
