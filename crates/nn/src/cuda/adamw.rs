//! AdamW over all variables in three launches: squares of the gradients, their norm, one pass over the weights.

use candle_core::backend::BackendStorage;
use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Launch, address_in_table, room};
use super::operand::{Operand, lend, upload, word};
use super::signature::ADAMW;

/// Numbers that one block takes; the kernels' `CHUNK`.
const CHUNK: usize = 4096;
/// Bytes of the kernels' `Slot`.
const SLOT: usize = 80;
const THREADS: usize = 256;

/// A variable, its state and what applies to it in this step. All tensors f32 and contiguous but for the gradient, which
/// may be bf16, and the copy, which is.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The gradient.
    pub grad: &'a Tensor,
    /// The variable; changes in place.
    pub weight: &'a Tensor,
    /// First moment; changes in place.
    pub first: &'a Tensor,
    /// Second moment; changes in place.
    pub second: &'a Tensor,
    /// Average of the weights; changes in place.
    pub ema: Option<&'a Tensor>,
    /// The weights once more in bf16; changes in place.
    pub copy: Option<&'a Tensor>,
    /// Learning rate times the first moment's correction.
    pub rate: f64,
    /// 1 - learning rate times decay.
    pub keep: f64,
    /// Of the second moment.
    pub correction: f64,
}

/// What applies to all variables.
#[derive(Clone, Copy, Debug)]
pub struct Constants {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest global norm; 0 switches clipping off.
    pub clip: f64,
    /// Decay of the averages.
    pub ema: f64,
}

/// Updates every variable and returns the global norm before clipping. With a norm that is not finite nothing changes.
/// Waits for the device once, to read the norm.
///
/// # Errors
/// Tensors that are not on one CUDA device, of other types than those named, not contiguous, or of different sizes.
pub fn step(slots: &[Slot<'_>], constants: &Constants) -> Result<f64> {
    let Some(first) = slots.first() else { return Ok(0.0) };
    let device = &lend(first.weight).operand()?.device().clone();
    let mut table: Vec<u8> = Vec::with_capacity(slots.len() * SLOT);
    let mut blocks = 0;
    for slot in slots {
        table.extend(slot.packed(blocks)?);
        blocks += slot.weight.elem_count().div_ceil(CHUNK);
    }
    let table = upload(device, &table)?;
    let slots_given = Operand::whole(&table, slots.len() * SLOT);
    let count = Argument::Word(word(slots.len())?);
    let mut partial = room(device, blocks, DType::F32)?;
    Launch::new(ADAMW, "adamw_square".into(), blocks, THREADS)
        .shared(32 * 4)
        .run(device, vec![Argument::Write(&mut partial), Argument::Read(slots_given), count])?;
    let mut norm = room(device, 1, DType::F64)?;
    Launch::new(ADAMW, "adamw_norm".into(), 1, 1024).shared(32 * 8).run(
        device,
        vec![
            Argument::Write(&mut norm),
            Argument::Read(Operand::whole(&partial, blocks)),
            Argument::Word(word(blocks)?),
        ],
    )?;
    Launch::new(ADAMW, "adamw_step".into(), blocks, THREADS).run(
        device,
        vec![
            Argument::Read(slots_given),
            Argument::Read(Operand::whole(&norm, 1)),
            Argument::Word(word(slots.len())?),
            constants.argument(),
        ],
    )?;
    match norm.to_cpu_storage()? {
        candle_core::CpuStorage::F64(norm) => Ok(norm[0]),
        _ => candle_core::bail!("the norm of the gradients came back in another type"),
    }
}

impl Slot<'_> {
    /// The words of the kernels' `Slot`: seven of 64 bits, six of 32.
    fn packed(&self, block: usize) -> Result<Vec<u8>> {
        let count = self.weight.elem_count();
        let place = |tensor: &Tensor, dtype: DType| -> Result<u64> {
            let lent = lend(tensor);
            let operand = lent.operand()?;
            operand.expect(count, dtype)?;
            address_in_table(operand)
        };
        let maybe = |tensor: Option<&Tensor>, dtype| tensor.map_or(Ok(0), |tensor| place(tensor, dtype));
        let half = self.grad.dtype() == DType::BF16;
        let longs = [
            place(self.grad, if half { DType::BF16 } else { DType::F32 })?,
            place(self.weight, DType::F32)?,
            place(self.first, DType::F32)?,
            place(self.second, DType::F32)?,
            maybe(self.ema, DType::F32)?,
            maybe(self.copy, DType::BF16)?,
            count as u64,
        ];
        let float = |value: f64| (value as f32).to_bits();
        let words =
            [word(block)?, u32::from(half), float(self.rate), float(self.keep), float(self.correction), 0];
        let longs = longs.iter().flat_map(|long| long.to_ne_bytes());
        Ok(longs.chain(words.iter().flat_map(|word| word.to_ne_bytes())).collect())
    }
}

impl Constants {
    fn argument(&self) -> Argument<'static> {
        let Self { beta1, beta2, eps, clip, ema } = *self;
        let all = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, ema, 1.0 - ema, eps, clip];
        Argument::words(&all.map(|value| (value as f32).to_bits()))
    }
}
