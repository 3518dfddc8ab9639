//! Every layer on a CUDA device against the same layer on the CPU, forward and backward, f32 and bf16. Without a device
//! the tests say so and pass.

mod attention;
mod block;
mod composed;
mod layers;
mod optimizer;

use std::io::Write;
use std::sync::Once;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::Params;
use cola_random::{normals, stream};

/// Both storage types, with what one rounding or a few cost.
const TYPES: [(DType, f32); 2] = [(DType::F32, 5e-5), (DType::BF16, 3e-2)];

/// The first device, if there is one.
fn device() -> Option<Device> {
    static SAID: Once = Once::new();
    let device = Device::new_cuda(0);
    if let Err(error) = &device {
        SAID.call_once(|| {
            let reason = error.to_string();
            let line = reason.lines().next().unwrap_or_default();
            // Past the test harness, which shows what a test prints only if it fails.
            let _ = writeln!(std::io::stderr(), "these tests did nothing, there is no CUDA device: {line}");
        });
    }
    device.ok()
}

/// Numbers of unit size that bf16 can hold, keyed by name.
fn numbers(name: &str, shape: &[usize]) -> Result<Tensor> {
    let numbers = normals(shape.iter().product(), &mut stream(7, name, 0, 0));
    Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(DType::BF16)
}

fn assert_close(name: &str, got: &Tensor, want: &Tensor, tolerance: f32) -> Result<()> {
    assert_eq!(got.dims(), want.dims(), "{name}");
    assert_eq!(got.dtype(), want.dtype(), "{name}");
    let numbers = |tensor: &Tensor| {
        tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
    };
    let (got, want) = (numbers(got)?, numbers(want)?);
    // Operands are of unit size. Some gradients are zero but for rounding: a shift of all keys changes no softmax.
    let usual = (want.iter().map(|x| x * x).sum::<f32>() / want.len() as f32).sqrt().max(0.1);
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs();
        assert!(
            error <= tolerance * (want.abs() + usual),
            "{name}: {got} instead of {want} at {index}, usually {usual}"
        );
    }
    Ok(())
}

/// A layer's operand.
struct Operand {
    name: &'static str,
    shape: Vec<usize>,
    /// f32 under bf16 rows.
    wide: bool,
    /// Without a gradient.
    fixed: bool,
}

fn operand(name: &'static str, shape: &[usize]) -> Operand {
    Operand { name, shape: shape.to_vec(), wide: false, fixed: false }
}

impl Operand {
    fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }
}

/// Gradients by name, of those that arrived.
type Gradients = Vec<(String, Option<Tensor>)>;

/// What a layer returns for its parameters and operands.
type Layer<'a> = &'a dyn Fn(&Params, &[Tensor]) -> Result<Tensor>;

/// The result, and the gradients of operands and parameters by name.
fn run(operands: &[Operand], dtype: DType, device: &Device, layer: Layer<'_>) -> Result<(Tensor, Gradients)> {
    let params = Params::seeded(3, DType::F32, device);
    let leaf = |operand: &Operand| {
        let dtype = if operand.wide { DType::F32 } else { dtype };
        Var::from_tensor(&numbers(operand.name, &operand.shape)?.to_dtype(dtype)?.to_device(device)?)
    };
    let leaves = operands.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let view = |(operand, leaf): (&Operand, &Var)| match operand.fixed {
        true => leaf.as_detached_tensor(),
        false => leaf.as_tensor().clone(),
    };
    let views: Vec<Tensor> = operands.iter().zip(&leaves).map(view).collect();
    // The first call makes the parameters; fresh ones are often zeros or ones, which tell little apart.
    layer(&params, &views)?;
    for (name, var) in params.vars() {
        let values = (numbers(&name, var.dims())?.to_dtype(DType::F32)? * 0.3)?;
        var.set(&values.to_device(device)?)?;
    }
    let y = layer(&params, &views)?;
    let seeds = numbers("seeds", y.dims())?.to_dtype(y.dtype())?.to_device(device)?;
    // Through a turned result, so that gradients arrive strided.
    let loss = match y.rank() {
        0 | 1 => (&y * seeds)?,
        rank => (y.transpose(rank - 2, rank - 1)? * seeds.transpose(rank - 2, rank - 1)?.contiguous()?)?,
    };
    let grads = loss.sum_all()?.backward()?;
    let found = |(name, var): (String, Var)| (name, grads.get(var.as_tensor()).cloned());
    let names = operands.iter().map(|operand| operand.name.to_string());
    Ok((y, names.zip(leaves).chain(params.vars()).map(found).collect()))
}

/// Compares a layer on the device with the same layer on the CPU, in both types; `slack` multiplies the tolerance.
fn agrees(name: &str, operands: &[Operand], slack: f32, layer: Layer<'_>) -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    for (dtype, close) in TYPES {
        let (want, want_grads) = run(operands, dtype, &Device::Cpu, layer)?;
        let (got, grads) = run(operands, dtype, &device, layer)?;
        let name = format!("{name}, {dtype:?}");
        assert_close(&name, &got, &want, slack * close)?;
        assert_eq!(grads.len(), want_grads.len(), "{name}");
        for ((part, got), (_, want)) in grads.iter().zip(&want_grads) {
            let name = format!("{name}, gradient of {part}");
            match (got, want) {
                (Some(got), Some(want)) => assert_close(&name, got, want, slack * close)?,
                (None, None) => {}
                (got, _) => {
                    panic!("{name}: it arrived only {}", if got.is_some() { "there" } else { "here" })
                }
            }
        }
    }
    Ok(())
}
