//! Writing a checkpoint: aside, synced, with checksums, renamed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Var;
use cola_files::{make_folder, remove_folder, rename, sync_folder, write_atomically};
use cola_lam::codebook_version;

use super::digest::{Digest, SEAL};
use super::rotate::rotate;
use super::{State, folder_name};
use crate::Error;
use crate::run::Run;
use crate::stored_lam::write_version;

/// Writes a checkpoint below `root`: everything into a folder aside, synced, with checksums, then one rename. Older ones
/// beyond `schedule.keep` are removed only after that.
pub(crate) fn save(run: &Run, root: &Path) -> Result<PathBuf, Error> {
    let io = |doing| move |source| Error::Io { path: root.to_path_buf(), doing, source };
    let name = folder_name(run.step);
    let (target, aside) = (root.join(&name), root.join(format!(".{name}.part")));
    if let Err(error) = write(run, &aside) {
        // A full disk has use for the room; if it stays, the next run takes it away.
        let _ = remove_folder(&aside);
        return Err(error);
    }
    let before = root.join(format!(".{name}.old"));
    if target.exists() {
        // The same step again, after going on from an older checkpoint.
        rename(&target, &before).map_err(io("making way for a checkpoint"))?;
    }
    rename(&aside, &target).map_err(io("renaming the checkpoint"))?;
    sync_folder(root).map_err(io("syncing the checkpoint folder"))?;
    if before.exists() {
        remove_folder(&before).map_err(io("removing an old checkpoint"))?;
    }
    rotate(root, run.step, run.config.schedule.keep)?;
    Ok(target)
}

/// Writes everything that [`load`](super::load) reads into `folder`, which is emptied before.
pub(crate) fn write(run: &Run, folder: &Path) -> Result<(), Error> {
    let io = |doing| move |source| Error::Io { path: folder.to_path_buf(), doing, source };
    if folder.exists() {
        remove_folder(folder).map_err(io("removing an unfinished checkpoint"))?;
    }
    make_folder(folder).map_err(io("making the checkpoint folder"))?;
    run.params.save(folder)?;
    let mut state = State::of(run);
    let mut tensors = HashMap::new();
    for (name, moments) in &run.optimizer.moments {
        let mut put =
            |kind: &str, var: &Var| tensors.insert(format!("{kind}.{name}"), var.as_detached_tensor());
        put("first", &moments.first);
        put("second", &moments.second);
        if let Some(average) = &moments.average {
            put("average", average);
        }
        state.updates.insert(name.clone(), moments.steps);
    }
    cola_nn::save_tensors(tensors, &folder.join("optimizer.safetensors"))?;
    write_atomically(folder.join("config.toml"), run.config.to_toml()?.as_bytes())
        .map_err(io("writing config.toml"))?;
    write_version(folder, &codebook_version(&run.config.lam, &run.params.lam)?)?;
    state.files = Digest::of_folder(folder)?;
    let text = serde_json::to_vec_pretty(&state).map_err(|error| Error::State {
        file: folder.join("state.json"),
        field: "whole file".into(),
        found: error.to_string(),
        expected: "a state that JSON can hold".into(),
        mend: "report this as a bug",
    })?;
    write_atomically(folder.join(SEAL), format!("{:08x}\n", crc32c::crc32c(&text)).as_bytes())
        .map_err(io("writing the checksum of state.json"))?;
    // Last: its presence says that the checkpoint is complete.
    write_atomically(folder.join("state.json"), &text).map_err(io("writing state.json"))
}
