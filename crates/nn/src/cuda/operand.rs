//! Tensors as the kernels see them: contiguous numbers on a device, and results as tensors.

use std::ops::Deref;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};

/// A contiguous operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    pub(super) storage: &'a CudaStorage,
    /// The first number.
    pub(super) start: usize,
    /// Numbers.
    pub(super) count: usize,
}

impl<'a> Operand<'a> {
    /// The numbers that a layout selects.
    ///
    /// # Errors
    /// A layout that is not contiguous.
    pub(crate) fn new(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        match layout.contiguous_offsets() {
            Some((start, end)) => Ok(Self { storage, start, count: end - start }),
            None => candle_core::bail!("a CUDA kernel got a tensor that is not contiguous"),
        }
    }

    /// All of a storage.
    pub(super) fn whole(storage: &'a CudaStorage, count: usize) -> Self {
        Self { storage, start: 0, count }
    }

    pub(super) fn device(&self) -> &'a CudaDevice {
        self.storage.device()
    }

    pub(super) fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Whether numbers can be moved 16 bytes at a time from the start on.
    pub(super) fn is_aligned(&self) -> bool {
        (self.start * self.dtype().size_in_bytes()).is_multiple_of(16)
    }

    /// That both have so many numbers of one type.
    pub(super) fn expect(&self, count: usize, dtype: DType) -> Result<()> {
        if self.count != count || self.dtype() != dtype {
            candle_core::bail!(
                "a CUDA kernel expected {count} numbers of type {dtype:?} and got {} of type {:?}",
                self.count,
                self.dtype()
            );
        }
        Ok(())
    }
}

/// A tensor whose numbers are read.
pub(super) struct Lent<'a, G> {
    storage: G,
    layout: &'a Layout,
}

/// Keeps a tensor's storage readable.
pub(super) fn lend(tensor: &Tensor) -> Lent<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    Lent { storage, layout }
}

impl<G: Deref<Target = Storage>> Lent<'_, G> {
    pub(super) fn operand(&self) -> Result<Operand<'_>> {
        match &*self.storage {
            Storage::Cuda(storage) => Operand::new(storage, self.layout),
            _ => candle_core::bail!("a CUDA kernel got a tensor that is not on a CUDA device"),
        }
    }
}

/// A result as a tensor without history.
pub(super) fn tensor(storage: CudaStorage, shape: &Shape) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Numbers from the host.
pub(super) fn upload<T: candle_core::WithDType>(device: &CudaDevice, values: &[T]) -> Result<CudaStorage> {
    device.storage_from_slice(values)
}

/// What the names of the kernels for a type end with.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        _ => candle_core::bail!("the CUDA kernels are for f32 and bf16, not {dtype:?}"),
    }
}

/// Numbers in 16 bytes.
pub(super) fn pack(dtype: DType) -> usize {
    16 / dtype.size_in_bytes()
}

/// A size or count as the kernels take it.
pub(super) fn word(value: usize) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| candle_core::Error::Msg(format!("{value} is too much for a CUDA kernel")))
}
