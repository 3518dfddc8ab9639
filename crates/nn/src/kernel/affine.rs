//! A linear layer as one operation: an activation before, the product, the bias after; gradients for those operands only
//! that have a history. The activation's result is not kept: backward makes it anew from the input.

use std::borrow::Cow;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::activate::Activation;
use super::element::{Element, for_element, storage};
use super::groups::column_sum;
use super::product::{Into, Matrix, Threads, product, rows_product};
use super::{for_each, lanes, lend, task_rows, tensor, values, vectorised, wide_values};
#[cfg(feature = "cuda")]
use crate::cuda;

/// `f(x) Wᵀ + b` with `x` `(..., in)`, `W` `(out, in)`, `b` `(out)`; without an activation `f(x)` is `x`.
pub(crate) struct Affine {
    pub(crate) before: Option<Activation>,
}

impl Affine {
    fn input<'a, E: Element>(&self, x: &'a [E], in_dim: usize) -> Cow<'a, [f32]> {
        match self.before {
            Some(activation) => Cow::Owned(activation.apply(x, in_dim)),
            None => E::wide(x),
        }
    }

    fn forward<E: Element>(&self, x: &[E], weight: &[f32], bias: &[f32]) -> Vec<E> {
        let (out_dim, in_dim) = (bias.len(), weight.len() / bias.len());
        let x = self.input(x, in_dim);
        let rows = x.len() / in_dim;
        let mut y = vec![0f32; rows * out_dim];
        rows_product(&mut y, &x, Matrix::rows(weight, in_dim).turned(), [rows, out_dim, in_dim]);
        for_each(y.len(), y.chunks_mut(task_rows(out_dim) * out_dim), |rows| {
            vectorised(
                #[inline(always)]
                || rows.chunks_exact_mut(out_dim).for_each(|row| lanes::add(row, bias)),
            );
        });
        E::stored(y)
    }

    /// Gradients of input, weight and bias.
    fn backward<E: Element>(
        &self,
        x: &[E],
        weight: &[f32],
        grad: &[E],
        [wants_x, wants_weight, wants_bias]: [bool; 3],
        [out_dim, in_dim]: [usize; 2],
    ) -> (Vec<E>, Vec<f32>, Vec<f32>) {
        let grad = E::wide(grad);
        let rows = grad.len() / out_dim;
        let mut for_x = Vec::new();
        let mut input = None;
        if wants_x {
            let mut wide = vec![0f32; rows * in_dim];
            let (grad, weight) = (Matrix::rows(&grad, out_dim), Matrix::rows(weight, in_dim));
            product((&mut wide, in_dim), grad, weight, [rows, in_dim, out_dim], Into::Replace, Threads::All);
            for_x = match self.before {
                Some(activation) => {
                    let (for_x, values) = activation.back(x, wide, in_dim, wants_weight);
                    input = Some(Cow::Owned(values));
                    for_x
                }
                None => E::stored(wide),
            };
        }
        let mut for_weight = Vec::new();
        if wants_weight {
            let input = input.unwrap_or_else(|| self.input(x, in_dim));
            for_weight = vec![0f32; out_dim * in_dim];
            let (grad, input) = (Matrix::rows(&grad, out_dim).turned(), Matrix::rows(&input, in_dim));
            let sizes = [out_dim, in_dim, rows];
            product((&mut for_weight, in_dim), grad, input, sizes, Into::Replace, Threads::All);
        }
        let for_bias = if wants_bias { column_sum(&grad, out_dim) } else { Vec::new() };
        (for_x, for_weight, for_bias)
    }
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (wide_values(weight, weight_layout)?, wide_values(bias, bias_layout)?);
        let y = for_element!(x, E => storage(self.forward(values::<E>(x, x_layout)?, &weight, &bias)));
        Ok((y, result_shape(x_layout, bias_layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (weight, bias) = ((weight, weight_layout), (bias, bias_layout));
        let y = cuda::linear::forward(self.before, (x, x_layout), weight, bias)?;
        Ok((y, result_shape(x_layout, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return cuda::linear::backward(self.before, x, weight, bias, grad).map(From::from);
        }
        let (out_dim, in_dim) = weight.dims2()?;
        let wants = [x.track_op(), weight.track_op(), bias.track_op()];
        let grad = grad.contiguous()?;
        let (lent_x, lent_weight, lent_grad) = (lend(x), lend(weight), lend(&grad));
        let matrix = lent_weight.wide()?;
        let (for_x, for_weight, for_bias) = for_element!(x, E => {
            let (x_values, grad) = (lent_x.values::<E>()?, lent_grad.values::<E>()?);
            let (for_x, for_weight, for_bias) =
                self.backward(x_values, &matrix, grad, wants, [out_dim, in_dim]);
            (wants[0].then(|| tensor(for_x, x.shape())).transpose()?, for_weight, for_bias)
        });
        let parameter = |wanted: bool, grad: Vec<f32>, of: &Tensor| {
            wanted.then(|| tensor(grad, of.shape())?.to_dtype(of.dtype())).transpose()
        };
        Ok((for_x, parameter(wants[1], for_weight, weight)?, parameter(wants[2], for_bias, bias)?))
    }
}

fn result_shape(x: &Layout, bias: &Layout) -> Shape {
    let mut shape = x.dims().to_vec();
    if let (Some(last), Some(out_dim)) = (shape.last_mut(), bias.dims().last()) {
        *last = *out_dim;
    }
    shape.into()
}
