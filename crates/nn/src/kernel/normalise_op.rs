//! [`Fused`] norms as operations that keep their gradients.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::element::for_element;
#[cfg(feature = "cuda")]
use super::normalise::Floor;
use super::normalise::Fused;
use super::values;
#[cfg(feature = "cuda")]
use crate::cuda;

impl Fused {
    /// Gradients of `x`, scale and shift: of those that exist and have a history.
    fn backward(
        &self,
        x: &Tensor,
        scale: Option<&Tensor>,
        shift: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return cuda::normalise::backward(&self.on_device(x.dims()), x, scale, shift, grad);
        }
        for_element!(x, E => self.loops_back::<E>(x, scale, shift, grad))
    }

    #[cfg(feature = "cuda")]
    fn on_device(&self, dims: &[usize]) -> cuda::normalise::Norm {
        let (least, eps) = match self.norm.floor {
            Floor::Add(eps) => (false, eps),
            Floor::Least(least) => (true, least),
        };
        cuda::normalise::Norm {
            width: dims.last().copied().unwrap_or(1),
            centred: self.norm.centred,
            least,
            eps,
            offset: self.norm.offset,
            scales: self.scales.on_device(),
            shifts: self.shifts.on_device(),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_forward(
        &self,
        (x, layout): (&CudaStorage, &Layout),
        scale: Option<(&CudaStorage, &Layout)>,
        shift: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let table =
            |table: Option<_>| table.map(|(storage, layout)| cuda::Operand::new(storage, layout)).transpose();
        let (x, norm) = (cuda::Operand::new(x, layout)?, self.on_device(layout.dims()));
        Ok((cuda::normalise::forward(&norm, x, table(scale)?, table(shift)?)?, layout.shape().clone()))
    }
}

const NAME: &str = "normalise";

fn last(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

impl CustomOp1 for Fused {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_element!(x, E => self.forward(values::<E>(x, layout)?, last(layout), None, None));
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda_forward((x, layout), None, None)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [for_x, ..] = self.backward(x, None, None, grad)?;
        Ok(for_x)
    }
}

impl CustomOp2 for Fused {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let scale = values(scale, scale_layout)?;
        let y = for_element!(x, E => self.forward(values::<E>(x, layout)?, last(layout), Some(scale), None));
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        scale: &CudaStorage,
        scale_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda_forward((x, layout), Some((scale, scale_layout)), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [for_x, for_scale, _] = self.backward(x, Some(scale), None, grad)?;
        Ok((for_x, for_scale))
    }
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (scale, shift) = (values(scale, scale_layout)?, values(shift, shift_layout)?);
        let y = for_element!(x, E => self.forward(values::<E>(x, layout)?, last(layout), Some(scale), Some(shift)));
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        scale: &CudaStorage,
        scale_layout: &Layout,
        shift: &CudaStorage,
        shift_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda_forward((x, layout), Some((scale, scale_layout)), Some((shift, shift_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [for_x, for_scale, for_shift] = self.backward(x, Some(scale), Some(shift), grad)?;
        Ok((for_x, for_scale, for_shift))
    }
}
