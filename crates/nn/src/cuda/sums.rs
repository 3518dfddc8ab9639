//! Sums over rows that share a row of a table, in two steps: runs of rows, then the runs of a group in order.

use candle_core::{CudaDevice, CudaStorage, DType, Result};

use super::launch::{Argument, Launch, room};
use super::operand::{Operand, suffix, word};
use super::signature::LINEAR;

/// Longest run of rows that one block sums.
const RUN: usize = 64;

/// Which row of a table goes with a row of `x`: row `r` with `(r / inner) % count`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) inner: usize,
    pub(crate) count: usize,
}

impl Table {
    /// One row for all.
    pub(crate) fn whole(rows: usize) -> Self {
        Self { inner: rows.max(1), count: 1 }
    }
}

/// Rows cut into runs within which no table changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    rows: usize,
    segment: usize,
    pieces: usize,
}

impl Runs {
    pub(super) fn new(rows: usize, tables: [Table; 2]) -> Self {
        let segment = common(tables[0].inner, tables[1].inner);
        Self { rows, segment, pieces: segment.div_ceil(RUN) }
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.rows / self.segment * self.pieces
    }

    pub(super) fn argument(&self) -> Result<Argument<'static>> {
        Ok(Argument::words(&[word(self.segment)?, word(self.pieces)?, word(RUN)?]))
    }

    /// Adds up the runs' sums, rows of `width`, to the rows of a table.
    pub(super) fn gather(
        &self,
        partial: &CudaStorage,
        width: usize,
        table: Table,
        dtype: DType,
    ) -> Result<CudaStorage> {
        let Table { inner, count } = table;
        let partial = Operand::whole(partial, self.count() * width);
        gather(partial, width, count, inner / self.segment * self.pieces, self.rows / (inner * count), dtype)
    }
}

/// Rows of `width` added up: `each` neighbours in each of `visits` places belong to one of `count` results.
pub(super) fn gather(
    partial: Operand<'_>,
    width: usize,
    count: usize,
    each: usize,
    visits: usize,
    dtype: DType,
) -> Result<CudaStorage> {
    partial.expect(width * count * each * visits, DType::F32)?;
    let device: &CudaDevice = partial.device();
    let mut total = room(device, count * width, dtype)?;
    let kernel = format!("gather_{}", suffix(dtype)?);
    let launch = Launch::new(LINEAR, kernel, width.div_ceil(32) * count, 32);
    Launch { threads: [32, 8], shared: 32 * 8 * 4, ..launch }.run(
        device,
        vec![
            Argument::Write(&mut total),
            Argument::Read(partial),
            Argument::Word(word(width)?),
            Argument::Word(word(count)?),
            Argument::Word(word(each)?),
            Argument::Word(word(visits)?),
        ],
    )?;
    Ok(total)
}

/// The greatest common divisor.
fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{Runs, Table};

    #[test]
    fn runs_end_where_a_table_changes() {
        let table = |inner, count| Table { inner, count };
        let runs = Runs::new(24, [table(6, 2), table(4, 3)]);
        assert_eq!((runs.segment, runs.pieces, runs.count()), (2, 1, 12));
        let runs = Runs::new(300, [table(150, 2), Table::whole(300)]);
        assert_eq!((runs.segment, runs.pieces, runs.count()), (150, 3, 6));
    }
}
