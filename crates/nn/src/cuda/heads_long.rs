//! Attention of long sequences: queries and keys are made ready, tiles of keys pass by tiles of queries. Three launches
//! forward; backward seven, eight with norms.

use candle_core::{CudaDevice, CudaStorage, DType, Result};

use super::heads::{Given, Gradients, Heads, tile};
use super::launch::{Argument, Launch, room};
use super::operand::{Operand, suffix};
use super::signature::{HEADS_LONG, HEADS_LONG_BACK, HEADS_ROWS};
use super::sums::gather;

const THREADS: usize = 128;
const BACK_THREADS: usize = 256;
/// Rows of a block of the kernels that work row by row, one warp each.
const ROWS: usize = 4;
/// Blocks for a part of the norms' parameters' gradient, each with a partial sum.
const BLOCKS: usize = 1024;

/// Rows of a tile; the kernels' `SIDE`.
fn side(dtype: DType) -> usize {
    if dtype == DType::BF16 { 64 } else { 32 }
}

/// Tiles that a block keeps: of tokens, of scores, of sums, of weights.
const FORWARD: [usize; 4] = [3, 1, 1, 1];
const QUERIES_BACK: [usize; 4] = [4, 2, 1, 2];
const KEYS_BACK: [usize; 4] = [4, 2, 2, 2];

/// Shared memory of the kernel that needs most, bytes.
pub(super) fn shared(heads: &Heads, dtype: DType) -> usize {
    shared_for(heads, dtype, KEYS_BACK)
}

/// Shared memory for tiles and two columns, bytes.
fn shared_for(heads: &Heads, dtype: DType, [tokens, scores, sums, weights]: [usize; 4]) -> usize {
    let (side, size, own) = (side(dtype), heads.size, dtype.size_in_bytes());
    let depth = size.next_multiple_of(if own == 2 { 16 } else { 4 });
    let columns = 2 * (side * 4).next_multiple_of(128);
    tokens * tile(side, size, own)
        + scores * tile(side, side, 4)
        + sums * tile(side, depth, 4)
        + weights * tile(side, side, own)
        + columns
}

/// What all launches of a call share.
struct Call<'a> {
    heads: &'a Heads,
    given: &'a Given<'a>,
    device: &'a CudaDevice,
    dtype: DType,
    units: usize,
}

impl<'a> Call<'a> {
    fn new(heads: &'a Heads, given: &'a Given<'a>) -> Self {
        let [queries, ..] = given.operands;
        let units = heads.units(queries);
        Self { heads, given, device: queries.device(), dtype: queries.dtype(), units }
    }

    fn name(&self, kernel: &str) -> Result<String> {
        Ok(format!("{kernel}_{}", suffix(self.dtype)?))
    }

    /// Rows of a head, of queries (0) or keys (1).
    fn rows(&self, part: usize) -> usize {
        self.units * self.heads.lengths[part]
    }

    /// Numbers of queries or keys, unit by unit.
    fn count(&self, part: usize) -> usize {
        self.rows(part) * self.heads.size
    }

    fn tiles(&self, part: usize) -> usize {
        self.units * self.heads.lengths[part].div_ceil(side(self.dtype))
    }

    /// Queries or keys with norm, positions and scale.
    fn ready(&self, part: usize) -> Result<CudaStorage> {
        let mut ready = room(self.device, self.count(part), self.dtype)?;
        let blocks = self.rows(part).div_ceil(ROWS);
        Launch::new(HEADS_ROWS, self.name("heads_ready")?, blocks, ROWS * 32).run(
            self.device,
            vec![
                Argument::Write(&mut ready),
                Argument::Read(self.given.operands[part]),
                Argument::read(self.given.table),
                Argument::read(self.given.turns),
                self.heads.argument(self.given)?,
                Argument::Word(part as u32),
            ],
        )?;
        Ok(ready)
    }

    fn attend(&self, ready: &[CudaStorage; 2]) -> Result<(CudaStorage, CudaStorage)> {
        let mut out = room(self.device, self.count(0), self.dtype)?;
        let mut log_sums = room(self.device, self.rows(0), DType::F32)?;
        let shared = shared_for(self.heads, self.dtype, FORWARD);
        Launch::new(HEADS_LONG, self.name("heads_long_forward")?, self.tiles(0), THREADS)
            .shared(shared)
            .run(
                self.device,
                vec![
                    Argument::Write(&mut out),
                    Argument::Write(&mut log_sums),
                    Argument::Read(Operand::whole(&ready[0], self.count(0))),
                    Argument::Read(Operand::whole(&ready[1], self.count(1))),
                    Argument::Read(self.given.operands[2]),
                    self.heads.argument(self.given)?,
                ],
            )?;
        Ok((out, log_sums))
    }
}

/// The result and the logarithms of the softmax's sums.
pub(super) fn forward(heads: &Heads, given: &Given<'_>) -> Result<(CudaStorage, CudaStorage)> {
    let call = Call::new(heads, given);
    call.attend(&[call.ready(0)?, call.ready(1)?])
}

pub(super) fn backward(
    heads: &Heads,
    given: &Given<'_>,
    operands: &[Operand<'_>],
    out: Operand<'_>,
    log_sums: Option<Operand<'_>>,
    grad: Operand<'_>,
) -> Result<Gradients> {
    let call = Call::new(heads, given);
    let (device, dtype) = (call.device, call.dtype);
    let ready = [call.ready(0)?, call.ready(1)?];
    let again = if log_sums.is_none() { Some(call.attend(&ready)?.1) } else { None };
    let log_sums = match (log_sums, &again) {
        (Some(log_sums), _) => log_sums,
        (None, Some(again)) => Operand::whole(again, call.rows(0)),
        (None, None) => candle_core::bail!("attention has lost its sums"),
    };
    log_sums.expect(call.rows(0), DType::F32)?;
    let mut deltas = room(device, call.rows(0), DType::F32)?;
    let blocks = call.rows(0).div_ceil(ROWS);
    Launch::new(HEADS_ROWS, call.name("heads_deltas")?, blocks, ROWS * 32).run(
        device,
        vec![Argument::Write(&mut deltas), Argument::Read(out), Argument::Read(grad), heads.argument(given)?],
    )?;
    let mut results =
        operands.iter().map(|operand| room(device, operand.count, dtype)).collect::<Result<Vec<_>>>()?;
    let mut grads = [room(device, call.count(0), dtype)?, room(device, call.count(1), dtype)?];
    let [for_queries, for_keys] = &mut grads;
    let shared = || {
        Ok::<_, candle_core::Error>([
            Argument::Read(Operand::whole(&ready[0], call.count(0))),
            Argument::Read(Operand::whole(&ready[1], call.count(1))),
            Argument::Read(given.operands[2]),
            Argument::Read(grad),
            Argument::Read(log_sums),
            Argument::Read(Operand::whole(&deltas, call.rows(0))),
            heads.argument(given)?,
        ])
    };
    let mut arguments =
        vec![Argument::Write(for_keys), Argument::Write(&mut results[heads.sources[2].operand])];
    arguments.extend(shared()?);
    Launch::new(HEADS_LONG_BACK, call.name("heads_long_keys")?, call.tiles(1), BACK_THREADS)
        .shared(shared_for(heads, dtype, KEYS_BACK))
        .run(device, arguments)?;
    let mut arguments = vec![Argument::Write(for_queries)];
    arguments.extend(shared()?);
    Launch::new(HEADS_LONG_BACK, call.name("heads_long_queries")?, call.tiles(0), BACK_THREADS)
        .shared(shared_for(heads, dtype, QUERIES_BACK))
        .run(device, arguments)?;
    let table = finish(&call, &mut results, &grads)?;
    Ok(Gradients { operands: results, table })
}

/// Takes the gradients of ready queries and keys to their operands' and returns that of the table.
fn finish(
    call: &Call<'_>,
    results: &mut [CudaStorage],
    grads: &[CudaStorage; 2],
) -> Result<Option<CudaStorage>> {
    let Call { heads, given, device, .. } = *call;
    let width = heads.table_rows() * heads.size;
    // Rows of both parts, so that one sum serves both.
    let blocks = [0, 1].map(|part| call.rows(part).div_ceil(ROWS).min(BLOCKS));
    let total = blocks[0] + blocks[1];
    let mut partial = given.table.map(|_| room(device, total * width, DType::F32)).transpose()?;
    for part in 0..2 {
        let start = part * blocks[0] * width;
        Launch::new(HEADS_ROWS, call.name("heads_finish")?, blocks[part], ROWS * 32).shared(width * 4).run(
            device,
            vec![
                Argument::Write(&mut results[heads.sources[part].operand]),
                partial.as_mut().map_or(Argument::Null, |partial| Argument::WriteAt(partial, start)),
                Argument::Read(Operand::whole(&grads[part], call.count(part))),
                Argument::Read(given.operands[part]),
                Argument::read(given.table),
                Argument::read(given.turns),
                heads.argument(given)?,
                Argument::Word(part as u32),
            ],
        )?;
    }
    match partial {
        Some(partial) => {
            let partial = Operand::whole(&partial, total * width);
            gather(partial, width, 1, total, 1, DType::F32).map(Some)
        }
        None => Ok(None),
    }
}
