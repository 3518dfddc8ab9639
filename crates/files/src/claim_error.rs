//! Why a folder cannot be had.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::holder::Holder;

/// Why a program may not work in a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Another program works in it.
    #[error("{}: {}", folder.display(), held(holder.as_deref()))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who has it; none if it left no name.
        holder: Option<Box<Holder>>,
    },
    /// It is read-only, or another user's.
    #[error("{}: this folder cannot be written to; make it writable (chmod u+w, or a mount that is not read-only), or choose another --out", folder.display())]
    ReadOnly {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be made, has no room, or lies on a file system without locks.
    #[error("{}: {doing} failed; check that no file is in its place and that its disk has room, or choose another --out", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

fn held(holder: Option<&Holder>) -> String {
    let (who, stop) = match holder {
        None => ("another program".into(), "stop it".into()),
        Some(holder) if holder.is_here() => {
            (holder.to_string(), format!("stop it (kill {})", holder.process))
        }
        Some(holder) => (holder.to_string(), format!("stop it there (kill {})", holder.process)),
    };
    let comma = if holder.is_some() { "," } else { "" };
    format!("{who}{comma} works in this folder; wait for it, {stop}, or choose another --out")
}

impl ClaimError {
    pub(crate) fn io(folder: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let folder = folder.to_path_buf();
        move |source| match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { folder, source },
            _ => Self::Unusable { folder, doing, source },
        }
    }
}
