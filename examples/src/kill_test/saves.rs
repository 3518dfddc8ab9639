//! Checkpoints as they are saved, seen from outside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The saves of one process so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saves {
    /// Those that have begun.
    pub begun: usize,
    /// Since when the last one is under way.
    pub under_way: Option<Instant>,
    /// The time of all that have ended.
    pub took: Duration,
}

impl Saves {
    /// Mean time of a save.
    pub(crate) fn mean(&self) -> Duration {
        self.took / u32::try_from(self.begun.max(1)).unwrap_or(u32::MAX)
    }
}

/// Looks for the folders that checkpoints are filled in before they take their names.
pub(crate) struct Watch {
    folder: PathBuf,
    /// One that was there before, left by a killed process, is not this process's save until it is touched.
    left: Option<(OsString, Option<SystemTime>)>,
    last: Option<OsString>,
    saves: Saves,
}

impl Watch {
    pub(crate) fn of(root: &Path) -> Self {
        let folder = root.join("checkpoints");
        let left = unfinished(&folder).map(|name| touched(&folder, name));
        Self { folder, left, last: None, saves: Saves::default() }
    }

    pub(crate) fn look(&mut self) {
        let now = unfinished(&self.folder);
        if self.left.is_some() {
            if now.clone().map(|name| touched(&self.folder, name)) == self.left {
                return;
            }
            self.left = None;
        }
        if now == self.last {
            return;
        }
        if let Some(since) = self.saves.under_way.take() {
            self.saves.took += since.elapsed();
        }
        if now.is_some() {
            self.saves.begun += 1;
            self.saves.under_way = Some(Instant::now());
        }
        self.last = now;
    }

    pub(crate) fn saves(&self) -> &Saves {
        &self.saves
    }
}

/// With the time at which something in it was last made or removed.
fn touched(checkpoints: &Path, name: OsString) -> (OsString, Option<SystemTime>) {
    let time = checkpoints.join(&name).metadata().and_then(|about| about.modified()).ok();
    (name, time)
}

/// The name of a checkpoint's folder that is not complete.
pub(crate) fn unfinished(checkpoints: &Path) -> Option<OsString> {
    std::fs::read_dir(checkpoints)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .find(|name| name.to_str().is_some_and(|name| name.starts_with(".step-") && name.ends_with(".part")))
}
