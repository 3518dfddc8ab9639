//! GELU (tanh formula and exact), SiLU and the SiLU gate.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::kernel::activate::{Activation, GELU_CUBIC, GELU_LINEAR};
use crate::kernel::element::{Element, for_element, storage};
use crate::kernel::{in_wide, lend, serves, tensor, values};

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³)))`, computed as `x sigmoid(2 u)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(Activate(Activation::Gelu));
    }
    // 2u = x (a + b x²)
    let argument = ((x.sqr()? * GELU_CUBIC)? + GELU_LINEAR)?.mul(x)?;
    x * candle_nn::ops::sigmoid(&argument)?
}

/// `x/2 (1 + erf(x / sqrt(2)))`, what PyTorch calls GELU if not told otherwise.
///
/// # Errors
/// Tensor arithmetic.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(Activate(Activation::GeluErf));
    }
    // Not candle's operation of that name: the constants of its gradient have six digits.
    in_wide(x, |x| ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?.mul(&(x * 0.5)?))
}

/// `x sigmoid(x)`.
///
/// # Errors
/// Tensor arithmetic.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if serves(&[x]) {
        return x.contiguous()?.apply_op1(Activate(Activation::Silu));
    }
    x * candle_nn::ops::sigmoid(x)?
}

/// By name.
pub(crate) fn activated(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Gelu => gelu(x),
        Activation::GeluErf => gelu_erf(x),
        Activation::Silu => silu(x),
        Activation::SiluGate => gated_silu(x),
    }
}

/// `p silu(s)` with `(p, s)` the two halves of the last dimension.
fn gated_silu(both: &Tensor) -> Result<Tensor> {
    let half = both.dim(D::Minus1)? / 2;
    if serves(&[both]) && both.dim(D::Minus1)? == 2 * half {
        return both.contiguous()?.apply_op1(Activate(Activation::SiluGate));
    }
    let part = |start: usize| both.narrow(D::Minus1, start, half);
    part(0)?.mul(&silu(&part(half)?)?)
}

/// One pass forward, one backward; the derivative is recomputed from the input.
struct Activate(Activation);

impl Activate {
    fn width(&self, dims: &[usize]) -> usize {
        dims.last().map_or(1, |last| last / self.0.fan_in())
    }

    /// Of the result.
    fn shape(&self, layout: &Layout) -> Shape {
        let mut shape = layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last /= self.0.fan_in();
        }
        shape.into()
    }
}

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.width(layout.dims());
        let y = for_element!(x, E => storage(E::stored(self.0.apply(values::<E>(x, layout)?, width))));
        Ok((y, self.shape(layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let x = cuda::Operand::new(x, layout)?;
        Ok((cuda::activation::forward(self.0, x, self.width(layout.dims()))?, self.shape(layout)))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return cuda::activation::backward(self.0, x, grad, self.width(x.dims())).map(Some);
        }
        let grad = grad.contiguous()?;
        let (lent_x, lent_grad) = (lend(x), lend(&grad));
        for_element!(x, E => {
            let grad = E::wide(lent_grad.values::<E>()?).into_owned();
            let (dx, _) = self.0.back(lent_x.values::<E>()?, grad, self.width(x.dims()), false);
            tensor(dx, x.shape()).map(Some)
        })
    }
}
