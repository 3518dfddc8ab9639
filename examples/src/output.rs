//! Files of results.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes a whole file or none.
///
/// # Errors
/// The disk's.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    cola_files::write_atomically(file, bytes)
        .with_context(|| format!("{}: cannot be written", file.display()))
}
