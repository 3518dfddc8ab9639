//! The six rows of adaptive layer norm, one set for each frame.

use candle_core::{DType, Result, Tensor};
use cola_flow::Given;
use cola_nn::split_rows;

/// Shift, scale and gate of the attention and of the feed-forward branch, for each frame: `(B, T, 6 D)`, or `(B, 1, 6 D)`
/// when all frames share them.
#[derive(Clone, Debug)]
pub struct Modulation {
    rows: Tensor,
}

impl Modulation {
    /// The same rows for every frame; `rows` is `(B, 6 D)`.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn shared(rows: &Tensor) -> Result<Self> {
        Ok(Self { rows: rows.unsqueeze(1)? })
    }

    /// Rows of each frame `(B, T, 6 D)`.
    pub fn per_frame(rows: &Tensor) -> Self {
        Self { rows: rows.clone() }
    }

    /// `generated` rows where a frame is generated, `still` rows (those of time 0) where it is given; both `(1 or B, 6 D)`.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn choose(generated: &Tensor, still: &Tensor, given: &Given) -> Result<Self> {
        let mask = given.generated().to_dtype(DType::U8)?.unsqueeze(2)?; // (B, T, 1)
        let (b, t, _) = mask.dims3()?;
        let shape = (b, t, generated.dim(1)?);
        let wide = |rows: &Tensor| rows.unsqueeze(1)?.broadcast_as(shape);
        Ok(Self { rows: mask.broadcast_as(shape)?.where_cond(&wide(generated)?, &wide(still)?)? })
    }

    /// Adds the rows of an action `(B, T, 6 D)`, in this modulation's dtype.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn add(&self, action: &Tensor) -> Result<Self> {
        Ok(Self { rows: self.rows.broadcast_add(&action.to_dtype(self.rows.dtype())?)? })
    }

    /// `(B, T or 1, 6 D)`.
    pub(crate) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The six rows of a block with this table `(6, D)`: shift, scale, gate of attention, then of the feed-forward, each
    /// `(B, T or 1, 1, D)`.
    pub(crate) fn split(&self, table: &Tensor) -> Result<[Tensor; 6]> {
        let rows = split_rows(&self.rows.unsqueeze(2)?, &table.to_dtype(self.rows.dtype())?)?;
        let count = rows.len();
        rows.try_into()
            .map_err(|_| candle_core::Error::Msg(format!("a table of {count} rows instead of six")))
    }
}
