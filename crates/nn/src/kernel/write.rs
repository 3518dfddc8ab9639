//! Values that are changed in place.

use std::cell::Cell;
use std::marker::PhantomData;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, WithDType};

/// A number of which variables are made.
pub(crate) trait Real: WithDType {
    fn root(self) -> Self;
    fn of(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

macro_rules! real {
    ($float:ty, $kind:ident) => {
        impl Real for $float {
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            fn of(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                match storage {
                    CpuStorage::$kind(values) => Some(values),
                    _ => None,
                }
            }
        }
    };
}

real!(f32, F32);
real!(f64, F64);

/// The values of a contiguous operand, to be written.
pub(crate) fn values_mut<'a, T: Real>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [T]> {
    match (layout.contiguous_offsets(), T::of(storage)) {
        (Some((start, end)), Some(values)) => Ok(&mut values[start..end]),
        (None, _) => candle_core::bail!("a tensor that is changed in place has to be contiguous"),
        (_, None) => candle_core::bail!("a tensor that is changed in place has to be {:?}", T::DTYPE),
    }
}

/// Lends the values of a tensor on the CPU to `body`, to be written. candle shows a writable storage to in-place
/// operations only, so this is one. Nested, it lends several tensors at a time; they must not share memory.
pub(crate) fn write<T: Real>(tensor: &Tensor, body: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Write { body: Cell::new(Some(body)), number: PhantomData })
}

struct Write<T, F> {
    body: Cell<Option<F>>,
    number: PhantomData<T>,
}

impl<T: Real, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for Write<T, F> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let values = values_mut(storage, layout)?;
        self.body.take().map_or(Ok(()), |body| body(values))
    }
}
