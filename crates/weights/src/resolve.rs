//! A path, or an id that becomes one.

use std::path::{Path, PathBuf};

use crate::{HubSettings, Reference, Result};

/// How far the transfer of one file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The file's path in its repository.
    pub file: &'a str,
    /// Bytes that have arrived, those of earlier runs included.
    pub done: u64,
    /// Bytes of the whole.
    pub total: u64,
}

/// The hub as this program uses it: settings, and who wants to see progress.
pub struct Hub {
    pub(crate) settings: HubSettings,
    pub(crate) watch: Box<dyn Fn(Transfer<'_>) + Send + Sync>,
}

impl Hub {
    /// A hub with these settings; nobody watches.
    pub fn new(settings: HubSettings) -> Self {
        Self { settings, watch: Box::new(|_| {}) }
    }

    /// A hub with the settings of the environment.
    pub fn from_env() -> Self {
        Self::new(HubSettings::from_env())
    }

    /// Calls `watch` at the start of a file's transfer, at every piece that arrives, and at its end.
    pub fn on_progress(mut self, watch: impl Fn(Transfer<'_>) + Send + Sync + 'static) -> Self {
        self.watch = Box::new(watch);
        self
    }
}

/// The path of a checkpoint: an existing path as it is, or the folder in the cache of an id `owner/name`,
/// `owner/name@revision`, `owner/name:subfolder`, whose `config.json` and weights (one `.safetensors` or an index and its
/// shards; nothing else) are fetched first where they are not there yet. Fetching takes the feature `hub`.
///
/// ```
/// use cola_weights::{Hub, resolve};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().to_str().unwrap();
/// assert_eq!(resolve(folder, &Hub::from_env())?, std::path::Path::new(folder));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Reference`](crate::Error::Reference) for what is neither; without the feature
/// [`Error::NoHub`](crate::Error::NoHub), with it [`Error::Offline`](crate::Error::Offline),
/// [`Error::Access`](crate::Error::Access), [`Error::Absent`](crate::Error::Absent),
/// [`Error::Pickle`](crate::Error::Pickle), [`Error::Repository`](crate::Error::Repository),
/// [`Error::Index`](crate::Error::Index), [`Error::Transfer`](crate::Error::Transfer) and
/// [`Error::Io`](crate::Error::Io).
pub fn resolve(path_or_id: &str, hub: &Hub) -> Result<PathBuf> {
    if Path::new(path_or_id).exists() {
        return Ok(PathBuf::from(path_or_id));
    }
    fetch(hub, &path_or_id.parse()?)
}

#[cfg(feature = "hub")]
fn fetch(hub: &Hub, reference: &Reference) -> Result<PathBuf> {
    crate::hub::fetch(hub, reference)
}

#[cfg(not(feature = "hub"))]
fn fetch(hub: &Hub, reference: &Reference) -> Result<PathBuf> {
    let folder = reference.subfolder.as_ref().map(|folder| format!(", folder {folder}")).unwrap_or_default();
    Err(crate::Error::NoHub {
        id: reference.to_string(),
        place: format!(
            "{}/{} (revision {}{folder})",
            hub.settings.endpoint, reference.repository, reference.revision
        ),
    })
}
