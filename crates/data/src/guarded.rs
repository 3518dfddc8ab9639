//! Third-party readers that panic on damaged files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::Error;

/// Runs a part of the reader of `file`'s format and turns its panics into errors.
///
/// Nothing that `read` used may be used after an error, so no half-changed state can be seen. The default hook still
/// prints the panic.
pub(crate) fn guarded<T>(file: &Path, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let found = panic.downcast_ref::<String>().cloned();
        let found = found.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(Error::Damaged {
            file: file.to_owned(),
            found: found.unwrap_or_else(|| "no reason given".into()),
        })
    })
}
