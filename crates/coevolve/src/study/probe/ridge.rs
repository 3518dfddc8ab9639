//! Least squares with a penalty, in closed form and f64.

use candle_core::{DType, Device, Tensor};

use crate::Error;
use crate::study::StudyError;
use crate::study::probe::head::Head;

/// A pivot below this share of its column's sum of squares is rounding: the column is a combination of earlier ones.
const RANK: f64 = 1e-13;
/// The penalty that a design without full rank gets at least, as a share of its largest sum of squares.
const FLOOR: f64 = 1e-10;

/// A closed-form solution.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// The minimiser, f64.
    pub head: Head,
    /// The penalty that it was found with: the one asked for, or more where that left the solution undetermined.
    pub lambda: f64,
}

/// The `W`, `b` that minimise `sum |W z + b - y|² + lambda |W|²`; the bias is not penalised. With `lambda` 0 it is
/// ordinary least squares.
///
/// A codebook of few used codes gives latent actions of deficient rank, which have no unique solution. Then `lambda` is
/// raised to 1e-10 of the largest column's sum of squares, which comes close to the solution of least norm. Latent
/// actions that never change give `W` = 0 and the mean as bias.
///
/// # Shapes
/// - `z`: `(M, D)`, `y`: `(M, A)`, `M >= 1`
/// - the head: `(A, D)` and `(A)`
///
/// # Errors
/// [`StudyError::NotFinite`], [`StudyError::Mismatch`] for another number of rows, [`StudyError::FewTransitions`] for
/// none, [`StudyError::Setting`] for a `lambda` that is negative or not finite.
pub fn ridge(z: &Tensor, y: &Tensor, lambda: f64) -> Result<Ridge, Error> {
    if !(lambda.is_finite() && lambda >= 0.0) {
        let (found, expected) = (lambda.to_string(), "a finite number, not negative");
        return Err(StudyError::Setting { field: "lambda", found, expected }.into());
    }
    let (samples, inputs) = z.dims2()?;
    let (targets, outputs) = y.dims2()?;
    if samples != targets {
        let (found, expected) =
            (format!("{targets} actions"), format!("{samples}, one for each latent action"));
        return Err(StudyError::Mismatch { what: "rows of a probe", found, expected }.into());
    }
    if samples == 0 {
        return Err(StudyError::FewTransitions { found: 0 }.into());
    }
    let (z, y) = (z.to_dtype(DType::F64)?, y.to_dtype(DType::F64)?);
    let (z_mean, y_mean) = (z.mean_keepdim(0)?, y.mean_keepdim(0)?);
    // With both centred the best bias is zero, so the penalty cannot touch it.
    let (z_centred, y_centred) = (z.broadcast_sub(&z_mean)?, y.broadcast_sub(&y_mean)?);
    let host = |tensor: Tensor| tensor.contiguous()?.flatten_all()?.to_vec1::<f64>();
    let gram = host(z_centred.t()?.matmul(&z_centred)?)?;
    let mixed = host(z_centred.t()?.matmul(&y_centred)?)?; // (D, A)
    // Of the columns before centring: what is left of a constant one afterwards is rounding.
    let sizes = host(z.sqr()?.sum(0)?)?;
    StudyError::if_not_finite("the latent actions", &gram)?;
    StudyError::if_not_finite("the actions", &mixed)?;
    let largest = sizes.iter().fold(0f64, |most, size| most.max(*size));
    let (factor, lambda) = [lambda, lambda.max(FLOOR * largest)]
        .into_iter()
        .find_map(|lambda| Some((cholesky(&gram, &sizes, lambda)?, lambda)))
        // Reached only by latent actions that are all zero.
        .unwrap_or_else(|| (identity(inputs), lambda));
    let mut weight = vec![0.0; outputs * inputs];
    for output in 0..outputs {
        let column: Vec<f64> = (0..inputs).map(|input| mixed[input * outputs + output]).collect();
        weight[output * inputs..(output + 1) * inputs].copy_from_slice(&solve(&factor, column));
    }
    let weight = Tensor::from_vec(weight, (outputs, inputs), &Device::Cpu)?;
    let bias = (y_mean - z_mean.matmul(&weight.t()?)?)?.squeeze(0)?;
    Ok(Ridge { head: Head::new(weight, bias)?, lambda })
}

/// The lower triangle `L` with `L Lᵀ = gram + lambda`, row-major; `None` if a pivot is rounding.
fn cholesky(gram: &[f64], sizes: &[f64], lambda: f64) -> Option<Vec<f64>> {
    let n = sizes.len();
    let mut factor = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            let (left, right) =
                (&factor[row * n..row * n + column], &factor[column * n..column * n + column]);
            let known: f64 = left.iter().zip(right).map(|(a, b)| a * b).sum();
            let rest = gram[row * n + column] - known;
            factor[row * n + column] = if row == column {
                let pivot = rest + lambda;
                // Written so that a NaN fails, too.
                if !(pivot > 0.0 && pivot > RANK * sizes[row]) {
                    return None;
                }
                pivot.sqrt()
            } else {
                rest / factor[column * n + column]
            };
        }
    }
    Some(factor)
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|place| if place % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
}

/// `x` with `L Lᵀ x = right`.
fn solve(factor: &[f64], mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for row in 0..n {
        let known: f64 = (0..row).map(|column| factor[row * n + column] * right[column]).sum();
        right[row] = (right[row] - known) / factor[row * n + row];
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| factor[column * n + row] * right[column]).sum();
        right[row] = (right[row] - known) / factor[row * n + row];
    }
    right
}
