//! `x + gate * branch`, the gate shared by groups of rows.

use candle_core::{CudaStorage, DType, Result, Tensor};

use super::launch::{Argument, Launch, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::signature::MODULATE;
use super::sums::{Runs, Table};

const THREADS: usize = 256;
/// Threads of a backward block, one for each 16 bytes of a row.
const COLUMNS: usize = 128;

/// # Errors
/// Types other than f32 with f32 gates or bf16 with gates of either; operands of different sizes.
pub(crate) fn forward(
    x: Operand<'_>,
    gate: Operand<'_>,
    branch: Operand<'_>,
    gates: Table,
    width: usize,
) -> Result<CudaStorage> {
    branch.expect(x.count, x.dtype())?;
    gate.expect(gates.count * width, gate.dtype())?;
    let mut y = room(x.device(), x.count, x.dtype())?;
    let kernel = format!("gate_add_forward_{}_{}", suffix(x.dtype())?, suffix(gate.dtype())?);
    Launch::new(MODULATE, kernel, x.count.div_ceil(THREADS * pack(x.dtype())), THREADS).run(
        x.device(),
        vec![
            Argument::Write(&mut y),
            Argument::Read(x),
            Argument::Read(gate),
            Argument::Read(branch),
            Argument::Long(x.count as u64),
            Argument::Word(word(width)?),
            Argument::Word(word(gates.inner)?),
            Argument::Word(word(gates.count)?),
        ],
    )?;
    Ok(y)
}

/// Gradients of gate and branch, of those with a history; that of `x` is `grad` itself, which need not be contiguous.
///
/// # Errors
/// As [`forward`].
pub(crate) fn backward(
    gate: &Tensor,
    branch: &Tensor,
    grad: &Tensor,
    gates: Table,
    width: usize,
) -> Result<[Option<Tensor>; 2]> {
    if !gate.track_op() && !branch.track_op() {
        return Ok([None, None]);
    }
    let grad = grad.contiguous()?;
    let (lent_gate, lent_branch, lent_grad) = (lend(gate), lend(branch), lend(&grad));
    let (factors, branches, grads) = (lent_gate.operand()?, lent_branch.operand()?, lent_grad.operand()?);
    factors.expect(gates.count * width, factors.dtype())?;
    branches.expect(grads.count, grads.dtype())?;
    let (device, dtype) = (grads.device(), grads.dtype());
    let runs = Runs::new(grads.count / width, [gates, gates]);
    let mut for_branch = branch.track_op().then(|| room(device, grads.count, dtype)).transpose()?;
    let mut for_gate = gate.track_op().then(|| room(device, runs.count() * width, DType::F32)).transpose()?;
    let packed = width.is_multiple_of(pack(dtype))
        && [factors, branches, grads].iter().all(|operand| operand.is_aligned());
    let columns = if packed { width / pack(dtype) } else { width };
    let kernel = format!("gate_add_backward_{}_{}", suffix(dtype)?, suffix(factors.dtype())?);
    let launch = Launch::new(MODULATE, kernel, runs.count(), COLUMNS);
    Launch { blocks: [runs.count(), columns.div_ceil(COLUMNS)], ..launch }.run(
        device,
        vec![
            Argument::write(for_branch.as_mut()),
            Argument::write(for_gate.as_mut()),
            Argument::Read(factors),
            Argument::Read(branches),
            Argument::Read(grads),
            runs.argument()?,
            Argument::Word(word(width)?),
            Argument::Word(word(gates.inner)?),
            Argument::Word(word(gates.count)?),
            Argument::Word(u32::from(packed)),
        ],
    )?;
    let for_gate = match for_gate {
        Some(partial) => Some(tensor(runs.gather(&partial, width, gates, factors.dtype())?, gate.shape())),
        None => None,
    };
    Ok([for_gate, for_branch.map(|storage| tensor(storage, branch.shape()))])
}
