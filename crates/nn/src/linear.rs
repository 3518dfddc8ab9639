//! `y = x Wᵀ + b`, without a gradient for a frozen `W`.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;

use crate::activation::activated;
use crate::conv3d::kaiming;
use crate::kernel::activate::Activation;
use crate::kernel::affine::Affine;
use crate::kernel::serves;

/// Xavier-uniform: bound `sqrt(6 / (in + out))`.
pub fn xavier(in_dim: usize, out_dim: usize) -> Init {
    let bound = (6.0 / (in_dim + out_dim) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A linear layer over the last dimension; weights `weight` `(out, in)` and `bias` `(out)` as in PyTorch.
///
/// Over a frozen weight the backward pass computes the input's gradient only: candle alone would compute and keep a
/// gradient as large as the weight.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// With bias; a fresh weight is Xavier-uniform, a fresh bias zero.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn new(in_dim: usize, out_dim: usize, vb: VarBuilder) -> Result<Self> {
        Self::with_init(in_dim, out_dim, xavier(in_dim, out_dim), vb)
    }

    /// With bias; a fresh weight and bias are zero: the layer starts silent.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn zero(in_dim: usize, out_dim: usize, vb: VarBuilder) -> Result<Self> {
        Self::with_init(in_dim, out_dim, Init::Const(0.0), vb)
    }

    /// With bias and a chosen initial weight.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn with_init(in_dim: usize, out_dim: usize, weight: Init, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((out_dim, in_dim), "weight", weight)?;
        let bias = vb.get_with_hints(out_dim, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias })
    }

    /// Of tensors that the caller made: `weight` `(out, in)`, `bias` `(out)`.
    pub(crate) fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { weight, bias }
    }

    /// A patch embedding: a convolution whose kernel equals its stride is this linear map over flattened patches.
    /// The parameters keep the convolution's names and shape `(out, kernel...)`; a fresh weight is PyTorch's default
    /// (Kaiming-uniform with a = sqrt 5) unless `init` is given.
    ///
    /// # Errors
    /// A stored parameter of another shape.
    pub fn patch(kernel: &[usize], out_dim: usize, init: Option<Init>, vb: VarBuilder) -> Result<Self> {
        let shape: Vec<usize> = std::iter::once(out_dim).chain(kernel.iter().copied()).collect();
        // Flattened when it is used: a reshape now would copy what a blueprint only pretends to hold.
        let weight = vb.get_with_hints(shape, "weight", init.unwrap_or_else(kaiming))?;
        let bias = vb.get_with_hints(out_dim, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias })
    }

    /// `(..., in)` to `(..., out)`, in the input's dtype.
    ///
    /// # Errors
    /// A last dimension other than `in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_after(None, x)
    }

    /// [`Linear::forward`] of an activation's result, which is not kept.
    pub(crate) fn forward_after(&self, before: Option<Activation>, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.flatten_from(1)?;
        let (out_dim, in_dim) = weight.dims2()?;
        let mut shape = x.dims().to_vec();
        let fan_in = before.map_or(1, Activation::fan_in);
        if shape.last() != Some(&(in_dim * fan_in)) {
            candle_core::bail!(
                "linear layer of {} inputs got a tensor of shape {:?}",
                in_dim * fan_in,
                x.dims()
            );
        }
        if let Some(last) = shape.last_mut() {
            *last = out_dim;
        }
        if serves(&[x]) && serves(&[&weight, &self.bias]) {
            let weight = weight.contiguous()?;
            return x.contiguous()?.apply_op3(&weight, &self.bias.contiguous()?, Affine { before });
        }
        let x = match before {
            Some(activation) => &activated(activation, x)?,
            None => x,
        };
        let (weight, bias) = (weight.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
        let x = x.contiguous()?;
        let rows = x.reshape(((), in_dim))?;
        let y = if rows.track_op() && !weight.track_op() {
            rows.apply_op1(FrozenLinear { weight })?
        } else {
            rows.matmul(&weight.t()?)?
        };
        y.broadcast_add(&bias)?.reshape(shape)
    }
}

/// `x Wᵀ` with the constant `W` inside the operation, so that backward has nothing to do for it: for devices and dtypes
/// that [`Affine`] does not serve.
struct FrozenLinear {
    weight: Tensor,
}

impl FrozenLinear {
    fn sizes(&self, layout: &Layout) -> Result<((usize, usize, usize, usize), Shape)> {
        let (rows, in_dim) = layout.shape().dims2()?;
        let out_dim = self.weight.dim(0)?;
        Ok(((1, rows, out_dim, in_dim), Shape::from((rows, out_dim))))
    }
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout)?;
        let (weight, weight_layout) = self.weight.storage_and_layout();
        match &*weight {
            Storage::Cpu(weight) => {
                Ok((storage.matmul(weight, sizes, layout, &weight_layout.transpose(0, 1)?)?, shape))
            }
            _ => candle_core::bail!("frozen linear layer: the input is on the CPU, the weight is not"),
        }
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout)?;
        let (weight, weight_layout) = self.weight.storage_and_layout();
        match &*weight {
            Storage::Cuda(weight) => {
                Ok((storage.matmul(weight, sizes, layout, &weight_layout.transpose(0, 1)?)?, shape))
            }
            _ => candle_core::bail!("frozen linear layer: the input is on a CUDA device, the weight is not"),
        }
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.matmul(&self.weight)?))
    }
}
