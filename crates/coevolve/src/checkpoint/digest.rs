//! Length and checksum of a checkpoint's files: silent damage is found before anything is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MEND, State, step_of};
use crate::Error;

/// What identifies the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    /// Length.
    pub(crate) bytes: u64,
    /// CRC-32C (Castagnoli): finds every single flipped bit and burst, costs a fraction of the reading.
    pub(crate) crc32c: u32,
}

impl Digest {
    /// Of a file as it is on the disk.
    pub(crate) fn of(file: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: file.to_path_buf(), doing: "reading", source };
        let mut open = File::open(file).map_err(io)?;
        let mut buffer = vec![0; 1 << 20];
        let mut digest = Self { bytes: 0, crc32c: 0 };
        loop {
            let count = open.read(&mut buffer).map_err(io)?;
            if count == 0 {
                return Ok(digest);
            }
            digest.bytes += count as u64;
            digest.crc32c = crc32c::crc32c_append(digest.crc32c, &buffer[..count]);
        }
    }

    /// Of every file of a folder, by name.
    pub(crate) fn of_folder(folder: &Path) -> Result<BTreeMap<String, Self>, Error> {
        let io = |source| Error::Io { path: folder.to_path_buf(), doing: "listing", source };
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                found.insert(name.to_owned(), Self::of(&path)?);
            }
        }
        Ok(found)
    }
}

/// The file with the checksum of `state.json`, in hexadecimal digits.
pub(super) const SEAL: &str = "state.crc";
/// Files that every checkpoint with checksums has.
const ALWAYS: [&str; 8] = [
    "action.safetensors",
    "backbone.safetensors",
    "codec.safetensors",
    "config.toml",
    "fdm.safetensors",
    "lam.safetensors",
    "lam.version",
    "optimizer.safetensors",
];

/// Whether every file of a checkpoint is what was written. Checkpoints from before there were checksums pass.
///
/// # Errors
/// [`Error::State`] naming the first file that is missing or has changed; what is wrong with `state.json` itself.
pub fn verify(folder: &Path) -> Result<(), Error> {
    let state = State::read(folder)?;
    if state.format > 1 {
        check_seal(folder, &state)?;
    }
    for (name, expected) in &state.files {
        let file = folder.join(name);
        let wrong = |field: &str, found: String, expected: String| {
            Err(Error::State { file: file.clone(), field: field.into(), found, expected, mend: MEND })
        };
        // Only names within the folder: the list is as untrusted as the rest.
        if Path::new(name).file_name().and_then(|name| name.to_str()) != Some(name) {
            return wrong("name", format!("`{name}`"), "the name of a file of this folder".into());
        }
        if !file.is_file() {
            return wrong("whole file", "missing".into(), format!("{} bytes", expected.bytes));
        }
        let found = Digest::of(&file)?;
        if found.bytes != expected.bytes {
            return wrong("length", format!("{} bytes", found.bytes), format!("{} bytes", expected.bytes));
        }
        if found.crc32c != expected.crc32c {
            let hex = |digest: &Digest| format!("{:08x}", digest.crc32c);
            return wrong("CRC-32C", hex(&found), format!("{}: it has changed since", hex(expected)));
        }
    }
    Ok(())
}

/// `state.json` itself: its checksum, its list of files, and its step, which is in the folder's name, too.
fn check_seal(folder: &Path, state: &State) -> Result<(), Error> {
    let wrong = |name: &str, field: &str, found: String, expected: String| {
        Err(Error::State { file: folder.join(name), field: field.into(), found, expected, mend: MEND })
    };
    let seal = folder.join(SEAL);
    let read = |file: &Path| {
        std::fs::read(file).map_err(|source| Error::Io { path: file.to_path_buf(), doing: "reading", source })
    };
    let (text, named) = (read(&folder.join("state.json"))?, read(&seal)?);
    let (found, named) =
        (format!("{:08x}", crc32c::crc32c(&text)), String::from_utf8_lossy(&named).into_owned());
    if named.trim() != found {
        let named: String = named.trim().chars().take(16).collect();
        return wrong("state.json", "CRC-32C", found, format!("{named}: it has changed since"));
    }
    if let Some(missing) = ALWAYS.into_iter().find(|name| !state.files.contains_key(*name)) {
        return wrong("state.json", "files", format!("no `{missing}`"), "all files of a checkpoint".into());
    }
    match step_of(folder) {
        Some(step) if step != state.step => {
            wrong("state.json", "step", state.step.to_string(), format!("{step}, as its folder is called"))
        }
        _ => Ok(()),
    }
}
