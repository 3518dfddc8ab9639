//! Moments as a safetensors file, so that workers and runs can be put together and a real set is computed once.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::Moments;
use crate::{Error, Result};

/// Counts beyond are no whole numbers in f64.
const MOST: u64 = 1 << 53;

/// How far, as a share of the two variances' geometric mean, `M2` may be from symmetric or from what Cauchy and Schwarz
/// allow: the rounding of another program's product.
const ROUNDING: f64 = 1e-9;

impl Moments {
    /// Writes `n` (`[1]`, i64), `mean` (`[D]`, f64) and `M2` (`[D, D]`, f64); the file is the old or the new one, never a part.
    ///
    /// # Errors
    /// A folder that is missing or full; features so large that their squares overflow.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let all = self.settled();
        let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (count, mean, m2) = (all.count.to_le_bytes(), bytes(&all.mean), bytes(&all.symmetric()));
        // What cannot be opened again must not be written.
        check(all.count, &all.mean, &all.symmetric()).map_err(|what| file(path, what, FEATURES))?;
        let width = all.width();
        let tensors = [
            ("n", Dtype::I64, vec![1], &count[..]),
            ("mean", Dtype::F64, vec![width], &mean),
            ("M2", Dtype::F64, vec![width, width], &m2),
        ];
        let views: std::result::Result<Vec<_>, _> = tensors
            .into_iter()
            .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(dtype, shape, bytes)?)))
            .collect();
        let written = views.and_then(|views| serialize(views, None));
        let written = written.map_err(|error| file(path, error.to_string(), WRITE))?;
        cola_files::write_atomically(path, &written).map_err(|error| file(path, error.to_string(), WRITE))
    }

    /// Reads a file that [`Moments::save`] or another program wrote: `n`, `mean` and `M2` as there, nothing else.
    ///
    /// # Errors
    /// A file that cannot be read, that is no safetensors file, or whose numbers are not the moments of any rows:
    /// not finite, not symmetric, a variance below 0, correlations beyond 1, fewer rows than the numbers need.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|error| file(path, error.to_string(), READ))?;
        if cola_nn::is_pickle(&bytes) {
            return Err(file(path, PICKLE.into(), READ));
        }
        parse(&bytes).map_err(|what| file(path, what, READ))
    }
}

const FEATURES: &str = "features of this size have no moments in f64";
const PICKLE: &str = "it is a PyTorch pickle, which can run code when it is opened and so is never read";
const READ: &str = "compute the moments again, or name a file that holds `n`, `mean` and `M2`";
const WRITE: &str = "name a file in a folder that exists and has room";

fn file(path: &Path, what: String, mend: &'static str) -> Error {
    Error::File { file: path.to_owned(), what, mend }
}

fn parse(bytes: &[u8]) -> std::result::Result<Moments, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let names = tensors.names();
    if let Some(other) = names.iter().find(|name| !["n", "mean", "M2"].contains(name)) {
        return Err(format!("tensor `{other}` is none of moments"));
    }
    let numbers = |name: &str, dtype: Dtype, dims: usize| {
        let view = tensors.tensor(name).map_err(|_| format!("tensor `{name}` is absent"))?;
        if view.dtype() != dtype || view.shape().len() != dims {
            return Err(format!(
                "tensor `{name}` has {:?} and shape {:?}, expected {dtype:?} in {dims} dimensions",
                view.dtype(),
                view.shape()
            ));
        }
        let words = view.data().as_chunks::<8>().0.to_vec();
        Ok((view.shape().to_vec(), words))
    };
    let (count_shape, count) = numbers("n", Dtype::I64, 1)?;
    let (mean_shape, mean) = numbers("mean", Dtype::F64, 1)?;
    let (m2_shape, m2) = numbers("M2", Dtype::F64, 2)?;
    if count_shape != [1] || mean_shape == [0] || m2_shape != [mean_shape[0], mean_shape[0]] {
        return Err(format!(
            "`n`, `mean` and `M2` have shapes {count_shape:?}, {mean_shape:?} and {m2_shape:?}, expected [1], [D] and [D, D], D at least 1"
        ));
    }
    let count = i64::from_le_bytes(count[0]);
    let count = u64::try_from(count).map_err(|_| format!("`n` is {count}, expected a number of rows"))?;
    let floats = |words: Vec<[u8; 8]>| words.into_iter().map(f64::from_le_bytes).collect::<Vec<f64>>();
    let (mean, m2) = (floats(mean), floats(m2));
    check(count, &mean, &m2)?;
    Ok(Moments { count, mean, m2, waiting: Vec::new() })
}

/// Whether some `count` rows have these moments, as far as pairs of columns tell.
fn check(count: u64, mean: &[f64], m2: &[f64]) -> std::result::Result<(), String> {
    let width = mean.len();
    if count > MOST {
        return Err(format!("`n` is {count}, at most {MOST} rows can be counted"));
    }
    if let Some(at) = mean.iter().position(|value| !value.is_finite()) {
        return Err(format!("`mean` at {at} is {}", mean[at]));
    }
    let at = |row: usize, column: usize| m2[row * width + column];
    for row in 0..width {
        if !(at(row, row).is_finite() && at(row, row) >= 0.0) {
            return Err(format!("`M2` at [{row}, {row}] is {}, a sum of squares is 0 or more", at(row, row)));
        }
        for column in 0..row {
            let (here, there) = (at(row, column), at(column, row));
            let most = at(row, row).sqrt() * at(column, column).sqrt();
            // Both are false of a NaN.
            let symmetric = (here - there).abs() <= ROUNDING * most;
            let possible = here.abs() <= (1.0 + ROUNDING) * most;
            if !symmetric {
                return Err(format!("`M2` is not symmetric: {here} at [{row}, {column}], {there} across"));
            }
            if !possible {
                return Err(format!(
                    "`M2` at [{row}, {column}] is {here}, beyond {most}, which the two variances allow"
                ));
            }
        }
    }
    if count == 0 && mean.iter().any(|value| *value != 0.0) {
        return Err("`n` is 0, but `mean` is not".into());
    }
    if count < 2 && m2.iter().any(|value| *value != 0.0) {
        return Err(format!("`n` is {count}, but `M2` is not 0"));
    }
    Ok(())
}
