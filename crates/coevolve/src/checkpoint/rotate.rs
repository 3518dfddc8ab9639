//! Which checkpoints stay, and what killed runs leave behind.

use std::fs;
use std::path::Path;

use cola_files::{finish_removals, make_folder, remove_folder, rename, sync_folder};

use super::{list, step_of};
use crate::Error;

/// Keeps the `keep` newest checkpoints up to `step`, whose own is complete.
pub(super) fn rotate(root: &Path, step: u64, keep: usize) -> Result<(), Error> {
    let all: Vec<_> =
        list(root).into_iter().filter(|path| step_of(path).is_some_and(|found| found <= step)).collect();
    let io = |source| Error::Io { path: root.to_path_buf(), doing: "removing an old checkpoint", source };
    all[..all.len().saturating_sub(keep.max(1))].iter().try_for_each(|old| remove_folder(old).map_err(io))
}

/// Makes `root` ready for a run that has done `step` steps: clears away what killed runs left, and sets checkpoints of
/// later steps aside as `passed-over-step-...`, one of each step: they were damaged, or belong to a course that this run
/// leaves, and none can push a good one out. Of the others the `keep` newest stay: a kill may have come between a save and
/// its tidying up.
pub(crate) fn prepare(root: &Path, step: u64, keep: usize) -> Result<(), Error> {
    let io = |doing| move |source| Error::Io { path: root.to_path_buf(), doing, source };
    make_folder(root).map_err(io("making the checkpoint folder"))?;
    if let Some(around) = root.parent().filter(|around| !around.as_os_str().is_empty()) {
        sync_folder(around).map_err(io("syncing the folder around the checkpoints"))?;
    }
    for entry in fs::read_dir(root).map_err(io("listing the checkpoint folder"))? {
        let path = entry.map_err(io("listing the checkpoint folder"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(before) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".old")) {
            // Killed between the two renames of a step that was saved again.
            let target = root.join(before);
            match target.exists() {
                true => remove_folder(&path).map_err(io("removing an old checkpoint"))?,
                false => rename(&path, &target).map_err(io("putting a checkpoint back"))?,
            }
        } else if name.starts_with(".step-") && name.ends_with(".part") {
            remove_folder(&path).map_err(io("removing an unfinished checkpoint"))?;
        }
    }
    finish_removals(root).map_err(io("removing an old checkpoint"))?;
    for path in list(root).into_iter().filter(|path| step_of(path).is_some_and(|found| found > step)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = root.join(format!("passed-over-{name}"));
        if aside.exists() {
            remove_folder(&aside).map_err(io("removing a checkpoint that was passed over twice"))?;
        }
        rename(&path, &aside).map_err(io("setting a checkpoint aside"))?;
    }
    rotate(root, step, keep)?;
    sync_folder(root).map_err(io("syncing the checkpoint folder"))
}
