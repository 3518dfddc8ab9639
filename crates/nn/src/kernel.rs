//! One-pass loops over slices on the CPU: what the fused operations of the layers are made of. Tensors store f32 or bf16;
//! what happens between reading and writing is f32.
//!
//! Rules that every loop here keeps: work is cut at places that depend on the shape only and sums are taken in a fixed
//! order, so results are the same to the last bit on any number of threads; a row's result depends on that row alone.

pub(crate) mod activate;
pub(crate) mod adamw;
pub(crate) mod affine;
pub(crate) mod conv3d;
mod conv_parts;
mod conv_planes;
mod conv_tiles;
pub(crate) mod element;
mod erf;
pub(crate) mod exp;
pub(crate) mod fixed_conv;
pub(crate) mod group_norm;
pub(crate) mod groups;
pub(crate) mod heads;
#[cfg(feature = "cuda")]
mod heads_cuda;
mod heads_op;
pub(crate) mod lanes;
mod long;
pub(crate) mod max_pool;
pub(crate) mod nearest;
pub(crate) mod normalise;
mod normalise_op;
mod places;
pub(crate) mod product;
pub(crate) mod row_norm;
mod small;
pub(crate) mod write;

use std::borrow::Cow;
use std::ops::Deref;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use element::{Element, for_element};

/// Elements below which waking a thread costs more than it saves.
pub(crate) const WORTH_THREADS: usize = 1 << 16;
/// Elements that one task takes at least.
const TASK: usize = 1 << 13;

/// Whether a fused operation can serve all of these tensors where they are: on the CPU with the loops here, on a CUDA
/// device with this crate's kernels; not empty, of one type that they know.
pub(crate) fn serves(tensors: &[&Tensor]) -> bool {
    loops_serve(tensors) || kernels_serve(tensors)
}

/// [`serves`], for operations that have no CUDA kernels.
pub(crate) fn loops_serve(tensors: &[&Tensor]) -> bool {
    are_elements(tensors, Device::is_cpu)
}

fn kernels_serve(tensors: &[&Tensor]) -> bool {
    cfg!(feature = "cuda") && are_elements(tensors, Device::is_cuda)
}

fn are_elements(tensors: &[&Tensor], place: impl Fn(&Device) -> bool) -> bool {
    let own = |tensor: &&Tensor| place(tensor.device()) && tensor.elem_count() > 0;
    let Some(dtype) = tensors.first().map(|tensor| tensor.dtype()) else { return false };
    element::is_element(dtype) && tensors.iter().all(|tensor| own(tensor) && tensor.dtype() == dtype)
}

/// A small operand (a scale, a shift, a gate) in the type that the loops read it in. Differentiable.
pub(crate) fn table(tensor: &Tensor) -> Result<Tensor> {
    match tensor.dtype() {
        DType::BF16 => tensor.to_dtype(DType::F32)?.contiguous(),
        _ => tensor.contiguous(),
    }
}

/// [`table`] for operands of one operation over `x`. The CUDA kernels read them in the type of `x` as well.
pub(crate) fn tables<const N: usize>(x: &Tensor, tables: [&Tensor; N]) -> Result<[Tensor; N]> {
    let as_they_are = x.device().is_cuda() && tables.iter().all(|table| table.dtype() == x.dtype());
    let mut ready = tables.map(Tensor::clone);
    for to in &mut ready {
        *to = if as_they_are { to.contiguous()? } else { table(to)? };
    }
    Ok(ready)
}

/// Runs a composition that sums over many numbers: in f32 if the input is narrower.
pub(crate) fn in_wide(x: &Tensor, run: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 | DType::F64 => run(x),
        narrow => run(&x.to_dtype(DType::F32)?)?.to_dtype(narrow),
    }
}

/// The values of a contiguous operand.
pub(crate) fn values<'a, E: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [E]> {
    let values = storage.as_slice::<E>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => candle_core::bail!("a fused operation got a tensor that is not contiguous"),
    }
}

/// The values of a contiguous operand in f32.
pub(crate) fn wide_values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    for_element!(storage, E => Ok(E::wide(values(storage, layout)?)))
}

/// A contiguous tensor whose values are read.
pub(crate) struct Lent<'a, G> {
    storage: G,
    layout: &'a Layout,
}

/// Keeps a tensor's storage readable.
pub(crate) fn lend(tensor: &Tensor) -> Lent<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    Lent { storage, layout }
}

impl<G: Deref<Target = Storage>> Lent<'_, G> {
    pub(crate) fn values<E: Element>(&self) -> Result<&[E]> {
        match &*self.storage {
            Storage::Cpu(storage) => values(storage, self.layout),
            _ => candle_core::bail!("a fused operation got a tensor that is not on the CPU"),
        }
    }

    pub(crate) fn wide(&self) -> Result<Cow<'_, [f32]>> {
        match &*self.storage {
            Storage::Cpu(storage) => wide_values(storage, self.layout),
            _ => candle_core::bail!("a fused operation got a tensor that is not on the CPU"),
        }
    }
}

/// A tensor from values, on the CPU.
pub(crate) fn tensor<E: Element>(values: Vec<E>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Rows that one task takes.
pub(crate) fn task_rows(width: usize) -> usize {
    TASK.div_ceil(width.max(1))
}

/// Runs every task, on all threads if `elements` are worth it. Tasks write to memory of their own.
pub(crate) fn for_each<T: Send>(
    elements: usize,
    tasks: impl Iterator<Item = T>,
    run: impl Fn(T) + Send + Sync,
) {
    if elements < WORTH_THREADS || rayon::current_num_threads() == 1 {
        tasks.for_each(run);
    } else {
        tasks.collect::<Vec<T>>().into_par_iter().for_each(run);
    }
}

/// Runs a loop compiled for the machine's vectors. What it calls has to be `#[inline(always)]`, or it stays at the narrow
/// vectors that every x86-64 has. Products and sums are contracted where the code says `mul_add` and nowhere else: the
/// vectors' width does not change the bits.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnMut() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return Simd::vectorize(simd, Loop(body));
    }
    dispatch(Loop(body))
}

/// [`vectorised`] for an operation that wants the vectors themselves, up to eight numbers wide.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    // Not sixteen wide: the rows of heads are padded to eight.
    #[cfg(target_arch = "x86_64")]
    match pulp::x86::V3::try_new() {
        Some(simd) => Simd::vectorize(simd, op),
        None => Simd::vectorize(pulp::Scalar, op),
    }
    #[cfg(not(target_arch = "x86_64"))]
    pulp::Arch::new().dispatch(op)
}

/// A closure that is called by reference: calling it by value would go through a function of its own, which is compiled
/// for narrow vectors.
struct Loop<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
