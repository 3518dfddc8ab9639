//! What can go wrong with a checkpoint.

use std::path::PathBuf;

/// A checkpoint that could not be found, fetched, read, matched with a model or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {doing} failed; check that it exists and may be read, or that its folder may be written and has room", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, e.g. "reading".
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A pickle: opening one runs whatever program it holds.
    #[error(
        "{origin}: found a PyTorch pickle, expected safetensors; a pickle runs code when it is opened, so it is never read: \
         convert it once where PyTorch is at hand, e.g. python -c \"import torch, safetensors.torch as s; \
         w = torch.load('{name}', weights_only=True); w = w.get('state_dict', w); \
         s.save_file({{k: v.contiguous().clone() for k, v in w.items()}}, 'model.safetensors')\""
    )]
    Pickle {
        /// The file, or the repository on the hub.
        origin: String,
        /// The pickle's file name.
        name: String,
    },
    /// A folder in which no checkpoint, or more than one, was found.
    #[error("{}: found {found}, expected model.safetensors, model.safetensors.index.json with its shards, or one other \
             *.safetensors; name the file itself or another folder", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// Bytes that are no valid safetensors file.
    #[error("{}: {field} is {found}, expected {expected}; the file is damaged, cut short or of another format: fetch or \
             write it again", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Which part of it, e.g. "tensor `a.weight`".
        field: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// An index of shards that does not describe them.
    #[error("{}: {reason}; fetch or write the index and all its shards again", file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// A `config.json` that cannot be understood.
    #[error("{}: field `{field}`: {reason}; mend the field or take the config.json that belongs to these weights", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// The field, as a path through the file; `.` is the whole.
        field: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// Tensors that the model needs and the file lacks.
    #[error("{}: {count} of {needed} tensors that the model needs are absent: {names}{}; open it with the configuration \
             that it was saved with, rename its tensors, or allow these to be created", path.display(),
            nearest.as_ref().map(|name| format!(" (nearest name in the file: `{name}`)")).unwrap_or_default())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// How many are absent.
        count: usize,
        /// How many the model needs.
        needed: usize,
        /// The first few of them.
        names: String,
        /// What the first may be called in the file.
        nearest: Option<String>,
    },
    /// Two tensors of the file that are renamed to one.
    #[error("{}: `{first}` and `{second}` both become `{name}`, expected one tensor for each name; mend the renaming", path.display())]
    Clash {
        /// The file or folder.
        path: PathBuf,
        /// The name in the model.
        name: String,
        /// A name in the file.
        first: String,
        /// Another.
        second: String,
    },
    /// A tensor of another shape or of a dtype that is no number of a model.
    #[error("{}: tensor `{name}` is {found}, expected {expected}; open it with the configuration that it was saved with", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// Its dtype and shape.
        found: String,
        /// What was needed.
        expected: String,
    },
    /// A tensor that the file does not hold.
    #[error("{}: there is no tensor `{name}`{}", path.display(),
            nearest.as_ref().map(|name| format!("; the nearest name is `{name}`")).unwrap_or_default())]
    NoTensor {
        /// The file or folder.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The name that is most alike.
        nearest: Option<String>,
    },
    /// A tensor with values that no model can compute with.
    #[error("{}: tensor `{name}` holds {count} values that are NaN or infinite as {dtype} (first at {first:?}), expected \
             finite numbers; fetch the file again, or take parameters of a wider dtype", file.display())]
    Values {
        /// The file.
        file: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// How many.
        count: usize,
        /// The index of the first.
        first: Vec<usize>,
        /// The dtype that they have in the model.
        dtype: String,
    },
    /// A parameter that is there before the load, in another shape.
    #[error(
        "parameter `{name}` has shape {found:?} already, expected {expected:?}; load into a new set of parameters"
    )]
    Params {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the model needs.
        expected: Vec<usize>,
    },
    /// A folder that has a checkpoint already.
    #[error("{}: found {found}, expected a folder without a checkpoint; choose another folder or remove the old one", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// The file in the way.
        found: String,
    },
    /// Words that are neither an existing path nor an id.
    #[error(
        "`{text}`: {reason}; expected an existing file or folder, or an id such as owner/name, owner/name@revision or \
         owner/name:subfolder"
    )]
    Reference {
        /// The words.
        text: String,
        /// Why they are no id.
        reason: String,
    },
    /// An id, where fetching is not compiled in.
    #[error(
        "`{id}`: no such path here, and as an id of the hub it can be fetched only by a program built with the feature \
         `hub` (cargo run --features hub ...); or download config.json and model.safetensors (or \
         model.safetensors.index.json and the shards it names) of {place} by hand into a folder and name that folder"
    )]
    NoHub {
        /// The id.
        id: String,
        /// Repository, revision and subfolder in words.
        place: String,
    },
    /// Something that is not in the cache while the hub must not be asked.
    #[error(
        "`{id}`: {missing} is not in {}, and HF_HUB_OFFLINE forbids to fetch it; unset HF_HUB_OFFLINE for one run, \
         or point HF_HOME to a cache that has it", cache.display()
    )]
    Offline {
        /// The id.
        id: String,
        /// What is missing.
        missing: String,
        /// The repository's folder in the cache.
        cache: PathBuf,
    },
    /// The hub wants to know who asks.
    #[error(
        "`{id}`: the hub answered {status} for {url}; the repository is gated, private or misspelt: check the id, accept \
         its conditions on its page, and set HF_TOKEN to an access token that may read it"
    )]
    Access {
        /// The id.
        id: String,
        /// 401 or 403.
        status: u16,
        /// What was asked for.
        url: String,
    },
    /// The hub does not have it.
    #[error(
        "`{id}`: the hub answered 404 for {url}; check the spelling of repository, revision and subfolder"
    )]
    Absent {
        /// The id.
        id: String,
        /// What was asked for.
        url: String,
    },
    /// A repository without a checkpoint that can be opened.
    #[error(
        "`{id}`: the repository has {found}, expected {expected}; name a subfolder as owner/name:subfolder or another repository"
    )]
    Repository {
        /// The id.
        id: String,
        /// What is there.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// A transfer that failed for good.
    #[error(
        "{url}: {reason}; check the connection (HF_ENDPOINT names the hub, HF_HUB_OFFLINE=1 takes what is in the cache) \
         and run again: a part that has arrived is kept"
    )]
    Transfer {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A file that arrived whole and is another than the hub announced.
    #[error(
        "{url}: the SHA-256 of what arrived is {found}, expected {expected}; it was removed: run again, and if it stays \
             so, look whether HF_ENDPOINT names the right hub"
    )]
    Digest {
        /// What was asked for.
        url: String,
        /// The digest of the bytes.
        found: String,
        /// The announced one.
        expected: String,
    },
    /// Tensor arithmetic failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// The `config.json` of a folder says what no model can have.
    pub fn refused_config(folder: &std::path::Path, field: &str, refusal: impl std::fmt::Display) -> Self {
        Self::Config { file: folder.join("config.json"), field: field.into(), reason: refusal.to_string() }
    }

    /// For `map_err` on what the system does with a path.
    pub(crate) fn io(path: &std::path::Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, doing, source }
    }
}

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;
