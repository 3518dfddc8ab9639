//! A tensor's numbers as little-endian bytes, in and out piece by piece.

use std::io::{self, Read, Write};

use candle_core::{CpuStorage, DType, Device, Shape, Storage, Tensor, WithDType};
use half::{bf16, f16};
use safetensors::Dtype;

/// Numbers between file and tensor at a time.
const PIECE: usize = 1 << 16;

/// The dtype of a tensor with these numbers; a truth value becomes a byte. `None` for what candle does not compute with.
pub(crate) fn candle_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::BOOL | Dtype::U8 => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

/// How a file calls a tensor's dtype; the inverse of [`candle_dtype`].
pub(crate) fn stored_dtype(dtype: DType) -> Option<Dtype> {
    [
        Dtype::U8,
        Dtype::U32,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::BF16,
        Dtype::F16,
        Dtype::F32,
        Dtype::F64,
    ]
    .into_iter()
    .find(|&stored| candle_dtype(stored) == Some(dtype))
}

/// Whether numbers of this dtype are a model's.
pub(crate) fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::BF16 | Dtype::F16 | Dtype::F32 | Dtype::F64)
}

/// Reads a tensor of a dtype of [`candle_dtype`]; the caller has checked that the source has as many numbers.
pub(crate) fn read(from: &mut impl Read, dtype: DType, shape: &[usize]) -> candle_core::Result<Tensor> {
    match dtype {
        DType::U8 => numbers(from, shape, |[byte]: [u8; 1]| byte),
        DType::U32 => numbers(from, shape, u32::from_le_bytes),
        DType::I16 => numbers(from, shape, i16::from_le_bytes),
        DType::I32 => numbers(from, shape, i32::from_le_bytes),
        DType::I64 => numbers(from, shape, i64::from_le_bytes),
        DType::BF16 => numbers(from, shape, bf16::from_le_bytes),
        DType::F16 => numbers(from, shape, f16::from_le_bytes),
        DType::F32 => numbers(from, shape, f32::from_le_bytes),
        DType::F64 => numbers(from, shape, f64::from_le_bytes),
        other => candle_core::bail!("no tensor of {other:?} can be read"),
    }
}

fn numbers<T: WithDType, const N: usize>(
    from: &mut impl Read,
    shape: &[usize],
    number: impl Fn([u8; N]) -> T,
) -> candle_core::Result<Tensor> {
    let shape = Shape::from(shape);
    let count = shape.elem_count();
    let mut values = Vec::new();
    // A sparse file may promise more than there is memory: an error then, not an abort.
    values.try_reserve_exact(count).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    let mut bytes = vec![0; PIECE.min(count) * N];
    while values.len() < count {
        let piece = &mut bytes[..PIECE.min(count - values.len()) * N];
        from.read_exact(piece)?;
        values.extend(piece.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)));
    }
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Writes a tensor's numbers in row-major order.
pub(crate) fn write(tensor: &Tensor, to: &mut dyn Write) -> candle_core::Result<()> {
    with_storage(tensor, |storage, range| match storage {
        CpuStorage::U8(values) => bytes(&values[range], |&value| [value], to),
        CpuStorage::U32(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::I16(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::I32(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::I64(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::BF16(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::F16(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::F32(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        CpuStorage::F64(values) => bytes(&values[range], |value| value.to_le_bytes(), to),
        _ => candle_core::bail!("no tensor of {:?} can be written", tensor.dtype()),
    })
}

fn bytes<T, const N: usize>(
    values: &[T],
    number: impl Fn(&T) -> [u8; N],
    to: &mut dyn Write,
) -> candle_core::Result<()> {
    let mut piece = Vec::with_capacity(PIECE.min(values.len()) * N);
    for values in values.chunks(PIECE) {
        piece.clear();
        piece.extend(values.iter().flat_map(&number));
        to.write_all(&piece)?;
    }
    Ok(())
}

/// How many values are NaN or infinite, and the position of the first in row-major order.
pub(crate) fn not_finite(tensor: &Tensor) -> candle_core::Result<Option<(usize, usize)>> {
    with_storage(tensor, |storage, range| {
        Ok(match storage {
            CpuStorage::BF16(values) => bad(&values[range], |value| value.is_finite()),
            CpuStorage::F16(values) => bad(&values[range], |value| value.is_finite()),
            CpuStorage::F32(values) => bad(&values[range], |value| value.is_finite()),
            CpuStorage::F64(values) => bad(&values[range], |value| value.is_finite()),
            _ => None,
        })
    })
}

fn bad<T: Copy>(values: &[T], is_finite: impl Fn(T) -> bool) -> Option<(usize, usize)> {
    let first = values.iter().position(|&value| !is_finite(value))?;
    Some((values[first..].iter().filter(|&&value| !is_finite(value)).count(), first))
}

fn with_storage<T>(
    tensor: &Tensor,
    look: impl FnOnce(&CpuStorage, std::ops::Range<usize>) -> candle_core::Result<T>,
) -> candle_core::Result<T> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a tensor on the CPU was expected") };
    look(storage, layout.start_offset()..layout.start_offset() + tensor.elem_count())
}
