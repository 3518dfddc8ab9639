//! Counters of a stored state: none can be beyond the steps that were done.

use std::path::Path;

use super::{MEND, State};
use crate::Error;

/// Refuses counters that would run over in the steps to come.
///
/// # Errors
/// [`Error::State`] naming the field.
pub(crate) fn check(folder: &Path, state: &State) -> Result<(), Error> {
    let updates = state.updates.values().copied().max();
    let health = state.health.as_ref().map(|health| health.counted());
    let window = state.window.as_ref().map(|window| window.counted());
    let skips = Some(state.skips.total.max(state.skips.row));
    let fields = [("updates", updates), ("health", health), ("window", window), ("skips", skips)];
    match fields.into_iter().find(|(_, counted)| counted.is_some_and(|counted| counted > state.step)) {
        None => Ok(()),
        Some((field, counted)) => Err(Error::State {
            file: folder.join("state.json"),
            field: field.into(),
            found: format!("about {} steps", counted.unwrap_or(0)),
            expected: format!("at most the {} that are done", state.step),
            mend: MEND,
        }),
    }
}
