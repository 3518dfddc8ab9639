//! Compares an operation in f32 and bf16, where it is fused, with its composed form in f64, and that form's gradients
//! with finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_random::{normals, stream};

/// Numbers of unit size, keyed by name.
pub(crate) fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(normals(count, &mut stream(7, name, 0, 0)), shape, &Device::Cpu).expect("a tensor")
}

/// [`numbers`] that bf16 can hold, in a type.
fn gradient(shape: &[usize], dtype: DType) -> Result<Tensor> {
    numbers("gradient", shape).to_dtype(DType::BF16)?.to_dtype(dtype)
}

/// How the operands lie in memory and how the gradient comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// Contiguous operands, a gradient of its own for every output.
    Plain,
    /// The operands are transposed views (last two axes), and the gradient arrives through a transposition.
    Strided,
    /// Operands are the middle of larger tensors; the gradient is broadcast along the first axis.
    Narrowed,
}

pub(crate) const WAYS: [Way; 3] = [Way::Plain, Way::Strided, Way::Narrowed];

/// Output and gradients of an operation whose operands of the given mask are variables.
pub(crate) fn run(
    operation: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    operands: &[Tensor],
    tracked: &[bool],
    way: Way,
    dtype: DType,
) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let mut leaves = Vec::new();
    let mut views = Vec::new();
    for (operand, tracked) in operands.iter().zip(tracked) {
        let operand = operand.to_dtype(dtype)?;
        let stored = match way {
            Way::Strided if operand.rank() >= 2 => {
                let rank = operand.rank();
                operand.transpose(rank - 2, rank - 1)?.contiguous()?
            }
            Way::Narrowed => operand.pad_with_zeros(0, 1, 2)?,
            _ => operand.clone(),
        };
        let leaf = Var::from_tensor(&stored)?;
        let base = if *tracked { leaf.as_tensor().clone() } else { leaf.as_detached_tensor() };
        views.push(match way {
            Way::Strided if base.rank() >= 2 => base.transpose(base.rank() - 2, base.rank() - 1)?,
            Way::Narrowed => base.narrow(0, 1, operand.dim(0)?)?,
            _ => base,
        });
        leaves.push(leaf);
    }
    let y = operation(&views)?;
    let loss = match way {
        Way::Plain => (&y * gradient(y.dims(), dtype)?)?.sum_all()?,
        Way::Strided if y.rank() >= 2 => {
            let turned = y.transpose(y.rank() - 2, y.rank() - 1)?;
            (&turned * gradient(turned.dims(), dtype)?)?.sum_all()?
        }
        _ => {
            let sum = y.sum(0)?;
            (&sum * gradient(sum.dims(), dtype)?)?.sum_all()?
        }
    };
    let grads = loss.backward()?;
    let found = leaves.iter().map(|leaf| grads.get(leaf.as_tensor()).cloned()).collect();
    Ok((y, found))
}

pub(crate) fn doubles(x: &Tensor) -> Result<Vec<f64>> {
    x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

pub(crate) fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
}

fn near(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
    assert_eq!(found.dims(), expected.dims(), "{what}: shape");
    let (found, expected) = (doubles(found)?, doubles(expected)?);
    let scale = expected.iter().fold(0.5f64, |most, x| most.max(x.abs()));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= tolerance * scale,
            "{what}[{index}]: found {found}, expected {expected}; largest is {scale}"
        );
    }
    Ok(())
}

/// The slope of the composed form along a direction of each operand, in f64, against its gradient.
fn has_the_slope_of_finite_differences(
    name: &str,
    operands: &[Tensor],
    composed: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    const STEP: f64 = 1e-5;
    let operands: Vec<Tensor> =
        operands.iter().map(|operand| operand.to_dtype(DType::F64)).collect::<Result<_>>()?;
    let (_, grads) = run(composed, &operands, &vec![true; operands.len()], Way::Plain, DType::F64)?;
    for (index, grad) in grads.iter().enumerate() {
        let direction = numbers("direction", operands[index].dims()).to_dtype(DType::F64)?;
        let loss = |step: f64| -> Result<f64> {
            let mut moved = operands.clone();
            moved[index] = (&operands[index] + (&direction * step)?)?;
            let y = composed(&moved)?;
            (&y * gradient(y.dims(), DType::F64)?)?.sum_all()?.to_scalar()
        };
        let measured = (loss(STEP)? - loss(-STEP)?) / (2.0 * STEP);
        let Some(grad) = grad else { panic!("{name}: no gradient {index}") };
        let (grad, direction) = (doubles(grad)?, doubles(&direction)?);
        let found: f64 = grad.iter().zip(&direction).map(|(grad, direction)| grad * direction).sum();
        let scale: f64 = grad.iter().zip(&direction).map(|(grad, direction)| (grad * direction).abs()).sum();
        assert!(
            (found - measured).abs() <= 1e-6 * scale.max(1.0),
            "{name}: slope {index} is {measured}, gradient {found}"
        );
    }
    Ok(())
}

/// The operation in f32, bf16 and f64 against the composed form in f64: values, and gradients with all operands tracked
/// and with each alone.
pub(crate) fn agrees(
    name: &str,
    operands: &[Tensor],
    operation: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    composed: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    has_the_slope_of_finite_differences(name, operands, composed)?;
    let count = operands.len();
    // What bf16 can hold, for all types.
    let operands: Vec<Tensor> =
        operands.iter().map(|x| x.to_dtype(DType::BF16)?.to_dtype(DType::F32)).collect::<Result<_>>()?;
    let operands = operands.as_slice();
    let masks = std::iter::once(vec![true; count])
        .chain((0..count).map(|own| (0..count).map(|i| i == own).collect()));
    for (mask, way) in masks.flat_map(|mask: Vec<bool>| WAYS.map(|way| (mask.clone(), way))) {
        let (expected, expected_grads) = run(composed, operands, &mask, way, DType::F64)?;
        for (dtype, tolerance) in [(DType::F32, 3e-6), (DType::BF16, 2e-2), (DType::F64, 1e-12)] {
            let what = format!("{name}, {way:?}, tracked {mask:?}, {dtype:?}");
            let (found, grads) = run(operation, operands, &mask, way, dtype)?;
            assert_eq!(found.dtype(), dtype, "{what}");
            near(&format!("{what}: value"), &found, &expected, tolerance)?;
            for (index, (found, expected)) in grads.iter().zip(&expected_grads).enumerate() {
                match (found, expected) {
                    (Some(found), Some(expected)) => {
                        near(&format!("{what}: gradient {index}"), found, expected, tolerance)?
                    }
                    (None, None) => {}
                    _ => panic!(
                        "{what}: gradient {index} arrived: {}, expected: {}",
                        found.is_some(),
                        expected.is_some()
                    ),
                }
            }
        }
    }
    Ok(())
}

/// Value and gradients have the same bits on one thread, two and five.
pub(crate) fn same_on_any_number_of_threads(
    name: &str,
    operands: &[Tensor],
    operation: &(dyn Fn(&[Tensor]) -> Result<Tensor> + Sync),
) -> Result<()> {
    let on = |threads: usize| -> Result<Vec<Vec<u32>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| {
            let (y, grads) = run(operation, operands, &vec![true; operands.len()], Way::Plain, DType::F32)?;
            std::iter::once(&y).chain(grads.iter().flatten()).map(bits).collect()
        })
    };
    let one = on(1)?;
    for threads in [2, 5] {
        assert!(on(threads)? == one, "{name}: other bits on {threads} threads");
    }
    Ok(())
}

/// The first half of the batch (axis 0) has the same bits whatever the second half holds.
pub(crate) fn rows_are_independent(
    name: &str,
    x: &Tensor,
    operation: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let half = x.dim(0)? / 2;
    let other = Tensor::cat(&[x.narrow(0, 0, half)?, (x.narrow(0, half, x.dim(0)? - half)? * 3.0)?], 0)?;
    let first = |x: &Tensor| bits(&operation(x)?.narrow(0, 0, half)?);
    assert!(first(x)? == first(&other)?, "{name}: a row depends on other rows");
    Ok(())
}
