//! Attention of short sequences: one launch forward, one backward and one for the norms' parameters.

use candle_core::{CudaStorage, DType, Result};

use super::heads::{Given, Gradients, Heads, tile};
use super::launch::{Argument, Launch, room};
use super::operand::{Operand, suffix};
use super::signature::HEADS_SHORT;
use super::sums::gather;

/// Blocks that the backward pass spreads its units over, each with a partial sum for the norms' parameters.
const BLOCKS: usize = 2048;

/// Threads for a unit: enough for the products of four rows by a column.
fn threads(heads: &Heads) -> usize {
    match heads.lengths[0].max(heads.lengths[1]) {
        0..=16 => 64,
        17..=32 => 128,
        _ => 256,
    }
}

/// Shared memory forward and backward, bytes.
pub(super) fn shared(heads: &Heads) -> (usize, usize) {
    let [queries, keys] = heads.lengths.map(|length| length.next_multiple_of(4));
    let rows = |rows: usize| tile(rows, heads.size, 4);
    let square = tile(queries, keys, 4);
    let forward = rows(queries) + 2 * rows(keys) + square;
    (forward, rows(queries) + rows(keys) + 2 * rows(queries.max(keys)) + 2 * square)
}

pub(super) fn forward(heads: &Heads, given: &Given<'_>) -> Result<CudaStorage> {
    let [q, k, v] = given.operands;
    let units = heads.units(q);
    let mut out = room(q.device(), units * heads.lengths[0] * heads.size, q.dtype())?;
    let kernel = format!("heads_short_forward_{}", suffix(q.dtype())?);
    Launch::new(HEADS_SHORT, kernel, units, threads(heads)).shared(shared(heads).0).run(
        q.device(),
        vec![
            Argument::Write(&mut out),
            Argument::Read(q),
            Argument::Read(k),
            Argument::Read(v),
            Argument::read(given.table),
            Argument::read(given.turns),
            heads.argument(given)?,
        ],
    )?;
    Ok(out)
}

pub(super) fn backward(
    heads: &Heads,
    given: &Given<'_>,
    operands: &[Operand<'_>],
    grad: Operand<'_>,
) -> Result<Gradients> {
    let [q, k, v] = given.operands;
    let (device, dtype) = (q.device(), q.dtype());
    let blocks = heads.units(q).min(BLOCKS);
    let width = heads.table_rows() * heads.size;
    let mut partial = given.table.map(|_| room(device, blocks * width, DType::F32)).transpose()?;
    let mut results =
        operands.iter().map(|operand| room(device, operand.count, dtype)).collect::<Result<Vec<_>>>()?;
    let mut arguments = places(heads, &mut results);
    arguments.extend([
        Argument::write(partial.as_mut()),
        Argument::Read(q),
        Argument::Read(k),
        Argument::Read(v),
        Argument::read(given.table),
        Argument::read(given.turns),
        Argument::Read(grad),
        heads.argument(given)?,
    ]);
    let kernel = format!("heads_short_backward_{}", suffix(dtype)?);
    Launch::new(HEADS_SHORT, kernel, blocks, threads(heads))
        .shared(shared(heads).1)
        .run(device, arguments)?;
    let table = match partial {
        Some(partial) => {
            let partial = Operand::whole(&partial, blocks * width);
            Some(gather(partial, width, 1, blocks, 1, DType::F32)?)
        }
        None => None,
    };
    Ok(Gradients { operands: results, table })
}

/// The gradients' storages as those of queries, keys and values: parts of one operand share its storage.
fn places<'a>(heads: &Heads, results: &'a mut [CudaStorage]) -> Vec<Argument<'a>> {
    let mut results = results.iter_mut();
    let mut arguments = Vec::with_capacity(12);
    for (part, source) in heads.sources.iter().enumerate() {
        let earlier = heads.sources[..part].iter().position(|other| other.operand == source.operand);
        arguments.push(match earlier {
            Some(index) => Argument::Same(index),
            None => Argument::write(results.next()),
        });
    }
    arguments
}
