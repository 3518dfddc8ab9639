//! Norms over the last dimension with an optional scale and shift.

use candle_core::{CudaStorage, DType, Device, Result, Tensor};

use super::launch::{Argument, Launch, most_shared, room};
use super::operand::{Operand, lend, pack, suffix, tensor, word};
use super::signature::NORMALISE;
use super::sums::{Runs, Table};

/// Rows of a forward block, one warp each.
const ROWS: usize = 4;
const WARP: usize = 32;

/// `(x - mean) / root (offset + scale) + shift` over rows of `width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) width: usize,
    /// Subtract the mean?
    pub(crate) centred: bool,
    /// `eps` is the least mean square instead of being added to it.
    pub(crate) least: bool,
    pub(crate) eps: f32,
    /// 0 for a scale that is a factor, 1 for one that is a change.
    pub(crate) offset: f32,
    /// The scale's rows; [`Table::whole`] without one.
    pub(crate) scales: Table,
    pub(crate) shifts: Table,
}

impl Norm {
    fn argument(&self) -> Result<Argument<'static>> {
        let flags = [u32::from(self.centred), u32::from(self.least)];
        let [centred, least] = flags;
        let floats = [self.eps.to_bits(), self.offset.to_bits()];
        Ok(Argument::words(&[word(self.width)?, centred, least, floats[0], floats[1]]))
    }

    fn tables(&self) -> Result<Argument<'static>> {
        let Self { scales, shifts, .. } = self;
        let sizes = [scales.inner, scales.count, shifts.inner, shifts.count];
        let words = sizes.into_iter().map(word).collect::<Result<Vec<u32>>>()?;
        Ok(Argument::words(&words))
    }

    /// Threads of a backward block: one for each 16 bytes of a row, up to eight warps.
    fn threads(&self, dtype: DType) -> usize {
        self.width.div_ceil(pack(dtype)).next_multiple_of(WARP).min(8 * WARP)
    }

    fn check(&self, x: Operand<'_>, scale: Option<Operand<'_>>, shift: Option<Operand<'_>>) -> Result<DType> {
        let dtype = scale.or(shift).map_or(x.dtype(), |table| table.dtype());
        for (table, rows) in [(scale, self.scales), (shift, self.shifts)] {
            if let Some(table) = table {
                table.expect(rows.count * self.width, dtype)?;
            }
        }
        Ok(dtype)
    }
}

/// Shared memory of a backward block, bytes.
fn shared(width: usize) -> usize {
    (3 * WARP + 2 * width) * 4
}

/// Whether a block has room for the sums of rows of this width.
///
/// # Errors
/// As [`most_shared`].
pub(crate) fn serves(device: &Device, width: usize) -> Result<bool> {
    Ok(shared(width) <= most_shared(device.as_cuda_device()?)?)
}

/// The normed rows.
///
/// # Errors
/// Types other than f32 with f32 tables or bf16 with tables of either; tables of another size.
pub(crate) fn forward(
    norm: &Norm,
    x: Operand<'_>,
    scale: Option<Operand<'_>>,
    shift: Option<Operand<'_>>,
) -> Result<CudaStorage> {
    let tables = norm.check(x, scale, shift)?;
    let rows = x.count / norm.width;
    let mut y = room(x.device(), x.count, x.dtype())?;
    let kernel = format!("normalise_forward_{}_{}", suffix(x.dtype())?, suffix(tables)?);
    Launch::new(NORMALISE, kernel, rows.div_ceil(ROWS), ROWS * WARP).run(
        x.device(),
        vec![
            Argument::Write(&mut y),
            Argument::Read(x),
            Argument::read(scale),
            Argument::read(shift),
            Argument::Word(word(rows)?),
            norm.argument()?,
            norm.tables()?,
        ],
    )?;
    Ok(y)
}

/// Gradients of `x`, scale and shift: of those that exist and have a history. `grad` need not be contiguous.
///
/// # Errors
/// As [`forward`]; rows so wide that they are not [served](serves).
pub(crate) fn backward(
    norm: &Norm,
    x: &Tensor,
    scale: Option<&Tensor>,
    shift: Option<&Tensor>,
    grad: &Tensor,
) -> Result<[Option<Tensor>; 3]> {
    let grad = grad.contiguous()?;
    let (lent_x, lent_grad) = (lend(x), lend(&grad));
    let (lent_scale, lent_shift) = (scale.map(lend), shift.map(lend));
    let (from, grads) = (lent_x.operand()?, lent_grad.operand()?);
    let scales = lent_scale.as_ref().map(|lent| lent.operand()).transpose()?;
    let shifts = lent_shift.as_ref().map(|lent| lent.operand()).transpose()?;
    let tables = norm.check(from, scales, shifts)?;
    grads.expect(from.count, from.dtype())?;
    let (device, width) = (from.device(), norm.width);
    let runs = Runs::new(from.count / width, [norm.scales, norm.shifts]);
    let tracked = |table: Option<&Tensor>| table.is_some_and(Tensor::track_op);
    let sums = |wanted: bool| wanted.then(|| room(device, runs.count() * width, DType::F32)).transpose();
    let mut dx = x.track_op().then(|| room(device, from.count, from.dtype())).transpose()?;
    let (mut for_scale, mut for_shift) = (sums(tracked(scale))?, sums(tracked(shift))?);
    let kernel = format!("normalise_backward_{}_{}", suffix(from.dtype())?, suffix(tables)?);
    Launch::new(NORMALISE, kernel, runs.count(), norm.threads(from.dtype())).shared(shared(width)).run(
        device,
        vec![
            Argument::write(dx.as_mut()),
            Argument::write(for_scale.as_mut()),
            Argument::write(for_shift.as_mut()),
            Argument::Read(from),
            Argument::Read(grads),
            Argument::read(scales),
            runs.argument()?,
            norm.argument()?,
            norm.tables()?,
        ],
    )?;
    let table = |partial: Option<CudaStorage>, rows: Table, like: Option<&Tensor>| match (partial, like) {
        (Some(partial), Some(like)) => Ok::<_, candle_core::Error>(Some(tensor(
            runs.gather(&partial, width, rows, tables)?,
            like.shape(),
        ))),
        _ => Ok(None),
    };
    Ok([
        dx.map(|dx| tensor(dx, x.shape())),
        table(for_scale, norm.scales, scale)?,
        table(for_shift, norm.shifts, shift)?,
    ])
}
