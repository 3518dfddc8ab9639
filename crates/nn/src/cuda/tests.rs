//! Kernels on a device against the layers on the CPU, forward and backward. Without a device the tests pass at once.

mod attention;
mod optimizer;

use std::cell::Cell;

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};

use super::operand::{lend, tensor};
use super::{Table, activation, linear, modulate, normalise};

/// Both storage types, with what one rounding or a few cost.
pub(super) const TYPES: [(DType, f32); 2] = [(DType::F32, 2e-5), (DType::BF16, 2e-2)];

pub(super) fn device() -> Option<Device> {
    Device::new_cuda(0).ok()
}

/// The same numbers on the host in f32 and on the device.
pub(super) struct Pair {
    pub(super) host: Var,
    pub(super) device: Var,
}

pub(super) fn pair(dims: &[usize], dtype: DType, device: &Device) -> Result<Pair> {
    // Operands of one shape must differ, or one could stand in for another.
    thread_local!(static CALLS: Cell<usize> = const { Cell::new(0) });
    let count: usize = dims.iter().product();
    let start = CALLS.replace(CALLS.get() + 1) * 1_000_003;
    // A multiplicative hash: spread over (-1, 1) without a pattern that a wrong stride could hide in.
    let hash = |i: usize| {
        ((i + start) as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519)
    };
    let numbers = (0..count).map(|i| hash(i) as f32 / 2f32.powi(31) - 1.0).collect();
    let rounded = Tensor::from_vec::<_, f32>(numbers, dims, &Device::Cpu)?.to_dtype(dtype)?;
    let host = Var::from_tensor(&rounded.to_dtype(DType::F32)?)?;
    Ok(Pair { host, device: Var::from_tensor(&rounded.to_device(device)?)? })
}

pub(super) fn assert_close(name: &str, got: &Tensor, want: &Tensor, tolerance: f32) -> Result<()> {
    assert_eq!(got.dims(), want.dims(), "{name}");
    let numbers = |tensor: &Tensor| {
        tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
    };
    let (got, want) = (numbers(got)?, numbers(want)?);
    let usual = (want.iter().map(|x| x * x).sum::<f32>() / want.len() as f32).sqrt();
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs();
        assert!(error <= tolerance * (want.abs() + usual), "{name}: {got} instead of {want} at {index}");
    }
    Ok(())
}

/// Gradients on the host.
pub(super) struct Gradients(GradStore);

impl Gradients {
    pub(super) fn of(&self, pair: &Pair) -> &Tensor {
        self.0.get(pair.host.as_tensor()).expect("a gradient on the host")
    }
}

/// Of `sum(seeds * y)`.
pub(super) fn gradients(y: &Tensor, seeds: &Pair) -> Result<Gradients> {
    (y * seeds.host.as_tensor())?.sum_all()?.backward().map(Gradients)
}

#[test]
fn activations_are_those_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    for (dtype, close) in TYPES {
        let (x, seeds) = (pair(&[3, 5, 34], dtype, &device)?, pair(&[3, 5, 34], dtype, &device)?);
        for (function, y) in [
            (activation::Function::Gelu, crate::gelu(&x.host)?),
            (activation::Function::Silu, crate::silu(&x.host)?),
        ] {
            let got = activation::forward(function, lend(&x.device).operand()?)?;
            assert_close("activation", &tensor(got, x.device.shape()), &y, close)?;
            let grads = gradients(&y, &seeds)?;
            let got = activation::backward(function, &x.device, &seeds.device)?;
            assert_close("activation's gradient", &got, grads.of(&x), close)?;
        }
        let seeds = pair(&[3, 5, 17], dtype, &device)?;
        let y = crate::activation::gated_silu(&x.host)?;
        let got = activation::gate_forward(lend(&x.device).operand()?, 17)?;
        assert_close("gate", &tensor(got, seeds.device.shape()), &y, close)?;
        let got = activation::gate_backward(&x.device, &seeds.device, 17)?;
        assert_close("gate's gradient", &got, gradients(&y, &seeds)?.of(&x), close)?;
    }
    Ok(())
}

#[test]
fn norms_are_those_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let (dims, width) = ([2, 3, 70, 40], 40);
    for (dtype, close) in TYPES {
        let (x, seeds) = (pair(&dims, dtype, &device)?, pair(&dims, dtype, &device)?);
        let (scale, shift) =
            (pair(&[2, 3, 1, width], dtype, &device)?, pair(&[2, 3, 1, width], dtype, &device)?);
        let groups = Table { inner: 70, count: 6 };
        let norm = normalise::Norm {
            width,
            centred: true,
            least: false,
            eps: 1e-6,
            offset: 1.0,
            scales: groups,
            shifts: groups,
        };
        let y = crate::modulate(&x.host, &shift.host, &scale.host, 1e-6)?;
        let (lent_scale, lent_shift) = (lend(&scale.device), lend(&shift.device));
        let (scales, shifts) = (Some(lent_scale.operand()?), Some(lent_shift.operand()?));
        let got = normalise::forward(&norm, lend(&x.device).operand()?, scales, shifts)?;
        assert_close("modulated norm", &tensor(got, x.device.shape()), &y, close)?;
        let grads = gradients(&y, &seeds)?;
        let [dx, for_scale, for_shift] =
            normalise::backward(&norm, &x.device, Some(&scale.device), Some(&shift.device), &seeds.device)?
                .map(Option::unwrap);
        assert_close("norm's gradient", &dx, grads.of(&x), close)?;
        assert_close("scale's gradient", &for_scale, grads.of(&scale), close)?;
        assert_close("shift's gradient", &for_shift, grads.of(&shift), close)?;

        let weight = pair(&[width], dtype, &device)?;
        let whole = Table::whole(2 * 3 * 70);
        let norm = normalise::Norm { centred: false, offset: 0.0, scales: whole, shifts: whole, ..norm };
        let y = crate::rms_norm(&x.host, &weight.host, 1e-6)?;
        let got = normalise::forward(
            &norm,
            lend(&x.device).operand()?,
            Some(lend(&weight.device).operand()?),
            None,
        )?;
        assert_close("RMS norm", &tensor(got, x.device.shape()), &y, close)?;
        let [_, for_weight, none] =
            normalise::backward(&norm, &x.device, Some(&weight.device), None, &seeds.device)?;
        let grads = gradients(&y, &seeds)?;
        assert_close("weight's gradient", &for_weight.unwrap(), grads.of(&weight), close)?;
        assert!(none.is_none());
    }
    Ok(())
}

#[test]
fn gated_sums_are_those_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    for ((dtype, close), width) in TYPES.into_iter().flat_map(|dtype| [(dtype, 24), (dtype, 25)]) {
        let dims = [2, 3, 66, width];
        let (x, branch) = (pair(&dims, dtype, &device)?, pair(&dims, dtype, &device)?);
        let (gate, seeds) = (pair(&[2, 3, 1, width], dtype, &device)?, pair(&dims, dtype, &device)?);
        let groups = Table { inner: 66, count: 6 };
        let y = crate::gate_add(&x.host, &gate.host, &branch.host)?;
        let (lent_gate, lent_branch) = (lend(&gate.device), lend(&branch.device));
        let (gates, branches) = (lent_gate.operand()?, lent_branch.operand()?);
        let got = modulate::forward(lend(&x.device).operand()?, gates, branches, groups, width)?;
        assert_close("gated sum", &tensor(got, x.device.shape()), &y, close)?;
        let grads = gradients(&y, &seeds)?;
        let [for_gate, for_branch] =
            modulate::backward(&gate.device, &branch.device, &seeds.device, groups, width)?
                .map(Option::unwrap);
        assert_close("gate's gradient", &for_gate, grads.of(&gate), close)?;
        assert_close("branch's gradient", &for_branch, grads.of(&branch), close)?;
    }
    Ok(())
}

#[test]
fn biases_are_those_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    for (dtype, close) in TYPES {
        let dims = [130, 48];
        let (x, bias) = (pair(&dims, dtype, &device)?, pair(&[48], dtype, &device)?);
        let seeds = pair(&dims, dtype, &device)?;
        let sum = x.host.broadcast_add(&bias.host)?;
        let y = crate::gelu(&sum)?;
        let mut product = lend(&x.device).operand()?.storage.try_clone(x.device.layout())?;
        let lent_bias = lend(&bias.device);
        let got = linear::add_bias_gelu(&mut product, 130 * 48, lent_bias.operand()?)?;
        let before = tensor(product, x.device.shape());
        assert_close("bias", &before, &sum, close)?;
        assert_close("GELU after the bias", &tensor(got, x.device.shape()), &y, close)?;
        let grads = gradients(&y, &seeds)?;
        let (dx, for_bias) = linear::gelu_backward(&before, &seeds.device, &bias.device)?;
        assert_close("GELU's gradient", &dx, grads.of(&x), close)?;
        assert_close("bias's gradient", &for_bias, grads.of(&bias), close)?;
        let got = linear::column_sum(&seeds.device, &bias.device)?;
        assert_close("column sum", &got, &seeds.host.sum(0)?, close)?;
    }
    Ok(())
}
