//! The hub's cache on disk: content under its hash, and a folder of links for each commit.
//!
//! ```text
//! models--owner--name/blobs/<etag>                  a file's bytes, <etag>.incomplete while they arrive
//! models--owner--name/refs/<revision>               the commit that a branch or tag was at
//! models--owner--name/snapshots/<commit>/<path>     a link to the bytes
//! .locks/models--owner--name/<etag>.lock            held by the process that fetches
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Reference, Result};

/// The part of the cache that belongs to one repository.
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The folder of a reference's checkpoint at a commit.
    pub(super) fn checkpoint(&self, commit: &str, reference: &Reference) -> PathBuf {
        let snapshot = self.snapshot(commit);
        reference.subfolder.as_ref().map_or(snapshot.clone(), |folder| snapshot.join(folder))
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// The commit that a revision was at when it was last fetched.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) && self.snapshot(revision).is_dir() {
            return Some(revision.to_string());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_commit(commit))
    }

    pub(super) fn set_revision(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let file = self.folder.join("refs").join(revision);
        make_folder(file.parent().unwrap_or(&self.folder))?;
        let _lock = self.lock("refs")?;
        cola_files::write_atomically(&file, commit.as_bytes()).map_err(Error::io(&file, "writing"))
    }

    /// Waits until this process is the only one with a lock of that name.
    pub(super) fn lock(&self, name: &str) -> Result<File> {
        make_folder(&self.locks)?;
        let path = self.locks.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(Error::io(&path, "creating"))?;
        file.lock().map_err(Error::io(&path, "locking"))?;
        Ok(file)
    }

    /// Makes a commit's path show a blob; returns the path.
    pub(super) fn link(&self, commit: &str, path: &str, etag: &str) -> Result<PathBuf> {
        let (file, blob) = (self.snapshot(commit).join(path), self.blob(etag));
        let folder = file.parent().unwrap_or(&self.folder);
        make_folder(folder)?;
        // Relative, so that the cache can be moved.
        let target = PathBuf::from("../".repeat(path.matches('/').count() + 2)).join("blobs").join(etag);
        if fs::read_link(&file).is_ok_and(|found| found == target) {
            return Ok(file);
        }
        // Aside and renamed: whoever looks finds the old link or the new one.
        let aside = folder.join(format!(".{}.{}", etag, std::process::id()));
        let _ = fs::remove_file(&aside);
        show(&target, &blob, &aside)
            .and_then(|()| fs::rename(&aside, &file))
            .map_err(Error::io(&file, "linking"))?;
        Ok(file)
    }
}

#[cfg(unix)]
fn show(target: &Path, _blob: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Elsewhere links take rights that users lack; the hub's own tools copy too.
#[cfg(not(unix))]
fn show(_target: &Path, blob: &Path, link: &Path) -> std::io::Result<()> {
    fs::copy(blob, link).map(drop)
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating"))
}

/// Whether a text from outside is a commit's hash, and so safe in a path.
pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
