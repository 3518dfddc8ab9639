//! AdamW over all variables in one launch, and the sum of the squares of all gradients in two.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, DType, Result, Tensor};

use super::launch::{Argument, Launch, address_in_table, room};
use super::operand::{Operand, lend, upload, word};
use super::signature::ADAMW;
use crate::kernel::adamw::Constants;
use crate::optim::AdamUpdate;

/// Numbers that one block takes; the kernels' `CHUNK`.
const CHUNK: usize = 4096;
/// Bytes of the kernels' `Slot`.
const SLOT: usize = 104;
const THREADS: usize = 256;

/// An update with its gradient, contiguous, and its numbers.
pub(crate) type Update<'a> = (&'a AdamUpdate<'a>, Tensor, Constants<f32>);

/// Whether [`step`] can serve an update: f32, the gradient may be bf16.
pub(crate) fn serves(update: &AdamUpdate<'_>) -> bool {
    let AdamUpdate { var, grad, first, second, average, .. } = update;
    let state = [Some(*var), Some(*first), Some(*second), average.map(|average| average.values)];
    let fits = |tensor: &Tensor| {
        tensor.dtype() == DType::F32 && tensor.is_contiguous() && tensor.device().same_device(var.device())
    };
    var.device().is_cuda()
        && var.elem_count() > 0
        && state.into_iter().flatten().all(|var| fits(var.as_tensor()))
        && grad.device().same_device(var.device())
        && matches!(grad.dtype(), DType::F32 | DType::BF16)
}

/// The tensors of a call as the kernels see them.
#[derive(Default)]
struct Slots {
    table: Vec<u8>,
    count: usize,
    blocks: usize,
}

impl Slots {
    /// The words of the kernels' `Slot`: six of 64 bits, fourteen of 32.
    fn push(&mut self, grad: &Tensor, state: [u64; 4], numbers: [f32; 11]) -> Result<()> {
        let (count, half) = (grad.elem_count(), grad.dtype() == DType::BF16);
        let grad = place(grad, count, if half { DType::BF16 } else { DType::F32 })?;
        let [weight, first, second, ema] = state;
        let longs = [grad, weight, first, second, ema, count as u64];
        self.table.extend(longs.iter().flat_map(|long| long.to_ne_bytes()));
        let numbers = numbers.into_iter().chain([0.0]).map(f32::to_bits);
        let words = [word(self.blocks)?, u32::from(half)].into_iter().chain(numbers);
        self.table.extend(words.flat_map(u32::to_ne_bytes));
        self.count += 1;
        self.blocks += count.div_ceil(CHUNK);
        Ok(())
    }

    fn upload(&self, device: &CudaDevice) -> Result<CudaStorage> {
        upload(device, &self.table)
    }

    fn arguments<'a>(&self, table: &'a CudaStorage) -> Result<[Argument<'a>; 2]> {
        let slots = Operand::whole(table, self.count * SLOT);
        Ok([Argument::Read(slots), Argument::Word(word(self.count)?)])
    }
}

/// Where a tensor's numbers lie. Whoever asks keeps it alive until the kernel is on the stream.
fn place(tensor: &Tensor, count: usize, dtype: DType) -> Result<u64> {
    let lent = lend(tensor);
    let operand = lent.operand()?;
    operand.expect(count, dtype)?;
    address_in_table(operand)
}

/// The sum of the squares of all numbers of tensors on one device, f32 or bf16 and contiguous; f32 within a block of
/// numbers, f64 over the blocks. Waits for the device.
///
/// # Errors
/// Other tensors.
pub(crate) fn squares(tensors: &[Tensor]) -> Result<f64> {
    let Some(first) = tensors.first() else { return Ok(0.0) };
    let device = first.device().as_cuda_device()?;
    let mut slots = Slots::default();
    for tensor in tensors {
        slots.push(tensor, [0; 4], [0.0; 11])?;
    }
    let table = slots.upload(device)?;
    let mut partial = room(device, slots.blocks, DType::F32)?;
    let mut arguments = vec![Argument::Write(&mut partial)];
    arguments.extend(slots.arguments(&table)?);
    Launch::new(ADAMW, "adamw_square".into(), slots.blocks, THREADS).shared(32 * 4).run(device, arguments)?;
    let mut total = room(device, 1, DType::F64)?;
    Launch::new(ADAMW, "adamw_total".into(), 1, 1024).shared(32 * 8).run(
        device,
        vec![
            Argument::Write(&mut total),
            Argument::Read(Operand::whole(&partial, slots.blocks)),
            Argument::Word(word(slots.blocks)?),
        ],
    )?;
    match total.to_cpu_storage()? {
        CpuStorage::F64(total) => Ok(total.first().copied().unwrap_or(0.0)),
        _ => candle_core::bail!("the norm of the gradients came back in another type"),
    }
}

/// Every variable's step. Does not wait for the device.
///
/// # Errors
/// Updates that are not [served](serves) or not on one device.
pub(crate) fn step(updates: &[Update<'_>]) -> Result<()> {
    let Some((first, ..)) = updates.first() else { return Ok(()) };
    let device = first.var.device().as_cuda_device()?;
    let mut slots = Slots::default();
    for (AdamUpdate { var, first, second, average, .. }, grad, c) in updates {
        let own = |var: &Tensor| place(var, grad.elem_count(), DType::F32);
        let average = average.map(|average| own(average.values.as_tensor())).transpose()?.unwrap_or(0);
        slots.push(
            grad,
            [own(var.as_tensor())?, own(first.as_tensor())?, own(second.as_tensor())?, average],
            [
                c.scale,
                c.beta1,
                c.rest1,
                c.beta2,
                c.rest2,
                c.keep,
                c.step,
                c.second,
                c.eps,
                c.average_keep,
                c.average_rest,
            ],
        )?;
    }
    let table = slots.upload(device)?;
    let arguments = Vec::from(slots.arguments(&table)?);
    Launch::new(ADAMW, "adamw_step".into(), slots.blocks, THREADS).run(device, arguments)
}
