//! The video files below a folder.

use std::path::{Component, Path, PathBuf};

use crate::{Error, regular};

/// Endings of video files, in lower case.
pub(super) const EXTENSIONS: [&str; 6] = ["mp4", "mov", "m4v", "webm", "mkv", "avi"];

/// Folders inside one another that are looked into.
const DEEPEST: usize = 16;

/// Most entries of all folders together.
const MOST: usize = 1 << 20;

/// Whether the name is that of a video. Names that begin with a dot are other systems' notes about a file.
pub(super) fn is_video(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    !hidden && extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The video files below `root`, at most `limit`, as paths inside it, in the order of their names.
///
/// Links to folders are not followed: none can lead in a circle. Links to files are, wherever they lead, as in the
/// cache of a hub. Pipes and devices are passed over. A link that leads nowhere is
/// listed, so that its reader names it.
pub(super) fn list(root: &Path, limit: usize) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut seen = 0;
    // Folders still to be read; the last comes first.
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let full = root.join(&folder);
        let read = |source| Error::Read { file: full.clone(), source };
        for entry in std::fs::read_dir(&full).map_err(read)? {
            let entry = entry.map_err(read)?;
            seen += 1;
            if seen > MOST {
                let expected = format!("at most {MOST} files and folders");
                return Err(Error::Field {
                    file: root.to_owned(),
                    field: "the folder".into(),
                    found: "more".into(),
                    expected,
                    mend: "name a smaller folder",
                });
            }
            let kind = entry.file_type().map_err(read)?;
            let path = folder.join(entry.file_name());
            if kind.is_dir() {
                if depth < DEEPEST {
                    folders.push((path, depth + 1));
                }
            } else if is_video(&path) && !regular::is_other(&entry.path()) {
                found.push(path);
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    found.sort();
    found.truncate(limit);
    Ok(found)
}

/// Whether a path from a manifest stays inside the folder that it is joined to.
pub(super) fn stays_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The path with `/` between its parts, whatever the system's own sign.
pub(super) fn name(path: &Path) -> String {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
