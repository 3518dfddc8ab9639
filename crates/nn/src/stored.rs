//! Tensors out of files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;

use crate::Error;
use crate::header::{Header, HeaderError};

/// Reads all tensors of a safetensors file to the CPU. Beside the tensors no more than the bytes of one of them are held.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`], and [`Error::Pickle`] for what is no safetensors but a program.
pub fn read_tensors(file: &Path) -> Result<BTreeMap<String, Tensor>, Error> {
    let io = |error| HeaderError::Io(error).of(file);
    let mut open = File::open(file).map_err(io)?;
    let header = Header::read(&mut open).map_err(|error| error.of(file))?;
    let mut tensors = BTreeMap::new();
    let mut bytes = Vec::new();
    for (name, extent) in header.tensors {
        let wrong = |reason: String| Error::Format { file: file.to_path_buf(), reason };
        bytes.clear();
        open.seek(SeekFrom::Start(extent.begin)).map_err(io)?;
        // No longer than what is there, which the header's check made sure of.
        (&mut open).take(extent.bytes).read_to_end(&mut bytes).map_err(io)?;
        let view = TensorView::new(extent.dtype, extent.shape, &bytes)
            .map_err(|error| wrong(format!("tensor `{name}`: {error}")))?;
        let tensor = view.load(&Device::Cpu).map_err(|error| wrong(format!("tensor `{name}`: {error}")))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}
