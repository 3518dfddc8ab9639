//! The one place that hands arguments to the GPU.

#![allow(
    unsafe_code,
    reason = "a kernel launch and memory that the kernel will fill cannot be expressed safely"
)]

use candle_core::backend::BackendDevice;
use candle_core::cuda::cudarc::driver::sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
use candle_core::cuda::cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use candle_core::cuda::cudarc::driver::{
    CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Result};

use super::operand::{Operand, word};
use super::signature::{self, Kind, Module};

/// Shared memory that any kernel gets without asking for more, bytes.
const USUAL_SHARED: usize = 48 << 10;

/// Words of the largest structure that a kernel takes.
const MOST_WORDS: usize = 24;

/// What a kernel is called with.
pub(super) enum Argument<'a> {
    Read(Operand<'a>),
    Write(&'a mut CudaStorage),
    /// From a place on.
    WriteAt(&'a mut CudaStorage, usize),
    /// The same place as an earlier argument.
    Same(usize),
    Null,
    Word(u32),
    Long(u64),
    Words([u32; MOST_WORDS], usize),
}

impl<'a> Argument<'a> {
    pub(super) fn read(operand: Option<Operand<'a>>) -> Self {
        operand.map_or(Self::Null, Self::Read)
    }

    pub(super) fn write(storage: Option<&'a mut CudaStorage>) -> Self {
        storage.map_or(Self::Null, Self::Write)
    }

    /// A structure of 32-bit fields.
    pub(super) fn words(fields: &[u32]) -> Self {
        let mut words = [0; MOST_WORDS];
        words[..fields.len()].copy_from_slice(fields);
        Self::Words(words, fields.len())
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Word(_) => Kind::Word,
            Self::Words(_, count) => Kind::Words(*count),
            _ => Kind::Long,
        }
    }
}

/// A value whose address the driver takes.
enum Value {
    Long(u64),
    Word(u32),
    Words([u32; MOST_WORDS]),
}

/// A kernel and how it is spread over the GPU.
pub(super) struct Launch {
    pub(super) module: Module,
    pub(super) kernel: String,
    pub(super) blocks: [usize; 2],
    pub(super) threads: [usize; 2],
    /// Bytes.
    pub(super) shared: usize,
}

impl Launch {
    /// Blocks in a line, without shared memory.
    pub(super) fn new(module: Module, kernel: String, blocks: usize, threads: usize) -> Self {
        Self { module, kernel, blocks: [blocks, 1], threads: [threads, 1], shared: 0 }
    }

    pub(super) fn shared(self, bytes: usize) -> Self {
        Self { shared: bytes, ..self }
    }

    /// Puts the kernel on the device's stream. No blocks, no launch.
    ///
    /// # Errors
    /// Arguments that are not those of the kernel's parameter list; a launch that the driver refuses.
    pub(super) fn run(self, device: &CudaDevice, arguments: Vec<Argument<'_>>) -> Result<()> {
        let Self { module, kernel, blocks: [x, y], threads: [width, height], shared } = self;
        let given: Vec<Kind> = arguments.iter().map(Argument::kind).collect();
        if signature::of(&kernel) != Some(&given) {
            candle_core::bail!(
                "kernel {kernel} takes {:?} and was called with {given:?}",
                signature::of(&kernel)
            );
        }
        if x == 0 || y == 0 {
            return Ok(());
        }
        let function = device.get_or_load_custom_func(&kernel, module.name, module.ptx)?;
        if shared > USUAL_SHARED {
            let bytes = word(shared)? as i32;
            function.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes).w()?;
        }
        let stream = device.cuda_stream();
        // The guards record the use of each storage when they are dropped, which is after the launch.
        let mut guards = Vec::new();
        let mut values: Vec<Value> = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let mut place = |(address, guard)| {
                guards.push(guard);
                Value::Long(address)
            };
            let value = match argument {
                Argument::Read(operand) => place(address(operand, &stream)?),
                Argument::Write(storage) => place(address_mut(storage, 0, &stream)?),
                Argument::WriteAt(storage, start) => place(address_mut(storage, start, &stream)?),
                Argument::Same(index) => match values.get(index) {
                    Some(Value::Long(address)) => Value::Long(*address),
                    _ => candle_core::bail!("kernel {kernel}: argument {index} is no place"),
                },
                Argument::Null => Value::Long(0),
                Argument::Word(value) => Value::Word(value),
                Argument::Long(value) => Value::Long(value),
                Argument::Words(words, _) => Value::Words(words),
            };
            values.push(value);
        }
        let mut builder = function.builder();
        for value in &values {
            match value {
                Value::Long(value) => builder.arg(value),
                Value::Word(value) => builder.arg(value),
                Value::Words(value) => builder.arg(value),
            };
        }
        let config = LaunchConfig {
            grid_dim: (word(x)?, word(y)?, 1),
            block_dim: (word(width)?, word(height)?, 1),
            shared_mem_bytes: word(shared)?,
        };
        // SAFETY: the kernel is one of this crate's, and number and kinds of its arguments were compared with its PTX.
        // The callers in this module's siblings check the operands' lengths and types; the guards keep the storages in
        // use until the launch is on the stream, and memory is given back on the same stream, after it.
        unsafe { builder.launch(config) }.w()?;
        drop(guards);
        Ok(())
    }
}

/// The address of an operand, for reading.
pub(super) fn address<'a>(operand: Operand<'a>, stream: &'a CudaStream) -> Result<(u64, SyncOnDrop<'a>)> {
    let (address, guard) = match &operand.storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr(stream),
        CudaStorageSlice::BF16(slice) => slice.device_ptr(stream),
        CudaStorageSlice::F64(slice) => slice.device_ptr(stream),
        CudaStorageSlice::U8(slice) => slice.device_ptr(stream),
        _ => candle_core::bail!("no CUDA kernel reads numbers of type {:?}", operand.dtype()),
    };
    Ok((address + (operand.start * operand.dtype().size_in_bytes()) as u64, guard))
}

/// The address of a storage's number `start`, for writing.
pub(super) fn address_mut<'a>(
    storage: &'a mut CudaStorage,
    start: usize,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    let ((address, guard), size) = match &mut storage.slice {
        CudaStorageSlice::F32(slice) => (slice.device_ptr_mut(stream), 4),
        CudaStorageSlice::BF16(slice) => (slice.device_ptr_mut(stream), 2),
        CudaStorageSlice::F64(slice) => (slice.device_ptr_mut(stream), 8),
        CudaStorageSlice::U32(slice) => (slice.device_ptr_mut(stream), 4),
        _ => candle_core::bail!("no CUDA kernel writes numbers of this type"),
    };
    Ok((address + start as u64 * size, guard))
}

/// The address of an operand that a kernel finds in a table. The caller keeps the operand alive until the kernel is on
/// the stream.
pub(super) fn address_in_table(operand: Operand<'_>) -> Result<u64> {
    let stream = operand.device().cuda_stream();
    Ok(address(operand, &stream)?.0)
}

/// Memory for a kernel's result.
///
/// # Errors
/// No memory left.
pub(super) fn room(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: every number is written by the kernel that the memory is handed to next, before anything reads it; the
    // kernels' tests fill such memory with NaN first.
    unsafe { device.alloc_uninit(&count.into(), dtype) }
}

/// Shared memory that one block may have, bytes.
///
/// # Errors
/// A driver that does not answer.
pub(super) fn most_shared(device: &CudaDevice) -> Result<usize> {
    let stream = device.cuda_stream();
    let bytes = stream.context().attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN).w()?;
    Ok(usize::try_from(bytes).unwrap_or(USUAL_SHARED))
}
