//! From tokens to patches of velocity.

use candle_core::{DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_flow::Given;
use cola_nn::{Linear, modulate};

use crate::block::EPS;

/// The last modulated norm and projection (`T2IFinalLayer`); actions do not reach it.
#[derive(Clone, Debug)]
pub struct FinalLayer {
    table: Tensor,
    linear: Linear,
}

impl FinalLayer {
    /// To `outputs` numbers a token; parameters `scale_shift_table` (shift, scale) and `linear`.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(hidden: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: (hidden as f64).powf(-0.5) };
        Ok(Self {
            table: vb.get_with_hints((2, hidden), "scale_shift_table", init)?,
            linear: Linear::new(hidden, outputs, vb.pp("linear"))?,
        })
    }

    /// Tokens `(B, T, S, D)` to `(B, T, S, outputs)`. `moving` `(1 or B, D)` is the embedding of time `t`; `given` says
    /// which frames are given and brings the embedding of time 0.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor, moving: &Tensor, given: Option<(&Given, &Tensor)>) -> Result<Tensor> {
        let modulated = |x: &Tensor, time: &Tensor| {
            let table = self.table.to_dtype(time.dtype())?;
            let row = |i: usize| time.broadcast_add(&table.narrow(0, i, 1)?)?.unsqueeze(1)?.unsqueeze(1);
            modulate(x, &row(0)?, &row(1)?, EPS)
        };
        let mut y = modulated(x, moving)?;
        if let Some((given, still)) = given {
            // As in the reference: a given frame is computed from the already modulated one, so it is normed twice.
            let mask = given.generated().to_dtype(DType::U8)?.unsqueeze(2)?.unsqueeze(3)?;
            y = mask.broadcast_as(y.shape())?.where_cond(&y, &modulated(&y, still)?)?;
        }
        self.linear.forward(&y)
    }
}
