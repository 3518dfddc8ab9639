//! What can go wrong with a file of parameters.

use std::path::PathBuf;

/// A file of parameters that could not be read, written or matched with a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {doing} failed; check that it exists and may be read, or that its folder may be written and has room", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was being done, e.g. "reading".
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are no safetensors file.
    #[error("{}: not a whole safetensors file ({reason}); it may be truncated or of another format: write it again or \
             choose another file", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The parser's reason.
        reason: String,
    },
    /// A pickle: opening one runs whatever program it holds.
    #[error("{}: found a PyTorch pickle, expected safetensors; a pickle runs code when it is opened, so it is never read: \
             convert it once where PyTorch and the Python package safetensors are at hand, e.g. python -c \"import torch, \
             safetensors.torch as s; w = torch.load('{name}', weights_only=True); w = w.get('state_dict', w); \
             s.save_file({{k: v.contiguous().clone() for k, v in w.items()}}, 'model.safetensors')\"", file.display())]
    Pickle {
        /// The file.
        file: PathBuf,
        /// Its name without the folder.
        name: String,
    },
    /// The file has other tensors than the model.
    #[error("{}: found {found} tensors, {missing_count} that the model needs are absent (first: `{missing}`) and \
             {extra_count} are foreign (first: `{extra}`); open it with the configuration that it was saved with", file.display())]
    Names {
        /// The file.
        file: PathBuf,
        /// Tensors in the file.
        found: usize,
        /// How many the model needs and the file lacks.
        missing_count: usize,
        /// The first of them, or `-`.
        missing: String,
        /// How many the file has and the model lacks.
        extra_count: usize,
        /// The first of them, or `-`.
        extra: String,
    },
    /// A tensor has another shape or dtype than the model's.
    #[error("{}: tensor `{name}` is {found}, expected {expected}; open it with the configuration that it was saved with", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor's name.
        name: String,
        /// Dtype and shape in the file.
        found: String,
        /// Dtype and shape in the model.
        expected: String,
    },
    /// Tensor arithmetic failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// A pickle in place of this file.
    pub(crate) fn pickle(file: PathBuf) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::Pickle { file, name }
    }
}
