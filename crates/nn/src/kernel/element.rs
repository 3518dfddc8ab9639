//! What tensors store: f32, or bf16 that is computed with in f32.

use std::borrow::Cow;

use candle_core::{CpuStorage, DType, WithDType};
use half::bf16;

use super::{for_each, task_rows, vectorised};

/// A stored number; everything between reading and writing is f32.
pub(crate) trait Element: WithDType + Default {
    fn widen(self) -> f32;

    /// Rounds to nearest, ties to even.
    fn narrow(wide: f32) -> Self;

    /// The numbers in f32: themselves, or a copy.
    fn wide(values: &[Self]) -> Cow<'_, [f32]>;

    /// Stores what was computed in f32.
    fn stored(wide: Vec<f32>) -> Vec<Self>;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(wide: f32) -> Self {
        wide
    }

    fn wide(values: &[Self]) -> Cow<'_, [f32]> {
        Cow::Borrowed(values)
    }

    fn stored(wide: Vec<f32>) -> Vec<Self> {
        wide
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(wide: f32) -> Self {
        // Whole-number arithmetic without a branch, so that a loop of it becomes vector instructions.
        let bits = wide.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        Self::from_bits(if wide.is_nan() { quiet } else { rounded } as u16)
    }

    fn wide(values: &[Self]) -> Cow<'_, [f32]> {
        Cow::Owned(converted(values, Self::widen))
    }

    fn stored(wide: Vec<f32>) -> Vec<Self> {
        converted(&wide, Self::narrow)
    }
}

/// Every number through `convert`.
pub(crate) fn converted<A: Copy + Sync, B: Copy + Default + Send>(
    from: &[A],
    convert: impl Fn(A) -> B + Send + Sync,
) -> Vec<B> {
    let mut to = vec![B::default(); from.len()];
    let task = task_rows(1);
    for_each(from.len(), to.chunks_mut(task).zip(from.chunks(task)), |(to, from)| {
        vectorised(
            #[inline(always)]
            || to.iter_mut().zip(from).for_each(|(to, from)| *to = convert(*from)),
        );
    });
    to
}

/// A storage of these numbers.
pub(crate) fn storage<E: Element>(values: Vec<E>) -> CpuStorage {
    E::to_cpu_storage_owned(values)
}

/// Calls a generic function with the element type of a storage.
macro_rules! for_element {
    ($storage:expr, $element:ident => $body:expr) => {
        match $storage.dtype() {
            candle_core::DType::BF16 => {
                type $element = half::bf16;
                $body
            }
            _ => {
                type $element = f32;
                $body
            }
        }
    };
}
pub(crate) use for_element;

/// The types that [`for_element`] knows.
pub(crate) fn is_element(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16)
}

#[cfg(test)]
mod tests {
    use super::{Element, bf16};

    #[test]
    fn bf16_is_rounded_as_the_type_itself_rounds() {
        for i in 0..2_000_000u32 {
            let x = f32::from_bits(i.wrapping_mul(2_654_435_761));
            let (own, theirs) = (bf16::narrow(x), bf16::from_f32(x));
            assert!(own.to_bits() == theirs.to_bits() || (own.is_nan() && theirs.is_nan()), "{x}");
            assert!(own.is_nan() || own.widen() == theirs.to_f32());
        }
    }
}
