//! Which episodes lie on disk, and what `task_info` says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// Largest file of `task_info` taken seriously, bytes.
const LARGEST: u64 = 256 << 20;

/// One recording.
pub(super) struct Recording {
    pub(super) task: u64,
    pub(super) episode: u64,
    /// Names of its videos.
    pub(super) cameras: BTreeSet<String>,
    pub(super) texts: Vec<String>,
}

/// An entry of `task_info/task_<id>.json`.
#[derive(Deserialize)]
struct Info {
    episode_id: u64,
    #[serde(default)]
    task_name: String,
    #[serde(default)]
    label_info: Labels,
}

#[derive(Default, Deserialize)]
struct Labels {
    #[serde(default)]
    action_config: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    action_text: String,
}

impl Recording {
    /// Folder of its videos.
    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        root.join(format!("observations/{}/{}/videos", self.task, self.episode))
    }

    /// A video.
    pub(super) fn video(&self, root: &Path, camera: &str) -> PathBuf {
        self.folder(root).join(format!("{camera}.mp4"))
    }

    /// The file with states and actions.
    pub(super) fn proprio(&self, root: &Path) -> PathBuf {
        root.join(format!("proprio_stats/{}/{}/proprio_stats.h5", self.task, self.episode))
    }
}

/// All recordings whose videos are there, in the order of task and episode.
pub(super) fn list(root: &Path) -> Result<Vec<Recording>, Error> {
    let observations = root.join("observations");
    let mut found = Vec::new();
    for task in numbers(&observations)? {
        let texts = texts(root, task)?;
        let folder = observations.join(task.to_string());
        for episode in numbers(&folder)? {
            let videos = folder.join(episode.to_string()).join("videos");
            if !videos.is_dir() {
                continue;
            }
            let video = |path: PathBuf| {
                let mp4 = path.extension().and_then(OsStr::to_str) == Some("mp4");
                path.file_stem().and_then(OsStr::to_str).filter(|_| mp4).map(str::to_owned)
            };
            let cameras = entries(&videos)?.into_iter().filter_map(video).collect();
            let texts = texts.get(&episode).cloned().unwrap_or_default();
            found.push(Recording { task, episode, cameras, texts });
        }
    }
    if found.is_empty() {
        let file = observations.join("<task>/<episode>/videos");
        let mend = "unpack the archives of `observations` beside `task_info`";
        return Err(Error::MissingFile { file, expected: "folders of videos", mend });
    }
    Ok(found)
}

/// Texts of the episodes of a task; none if the task has no file.
fn texts(root: &Path, task: u64) -> Result<BTreeMap<u64, Vec<String>>, Error> {
    let file = root.join(format!("task_info/task_{task}.json"));
    if !file.is_file() {
        return Ok(BTreeMap::new());
    }
    let read = |source| Error::Read { file: file.clone(), source };
    let length = std::fs::metadata(&file).map_err(read)?.len();
    if length > LARGEST {
        let mend = "restore the file from the data set's source";
        let (found, expected) = (format!("{length} bytes"), format!("at most {LARGEST}"));
        return Err(Error::Field { file, field: "length".into(), found, expected, mend });
    }
    let bytes = std::fs::read(&file).map_err(read)?;
    let infos: Vec<Info> =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { file: file.clone(), source })?;
    let mut texts = BTreeMap::new();
    for info in infos {
        let parts = info.label_info.action_config.into_iter().map(|part| part.action_text);
        let mut seen = BTreeSet::new();
        let new = |text: &String| !text.trim().is_empty() && seen.insert(text.clone());
        let known = std::iter::once(info.task_name).chain(parts).filter(new).collect();
        texts.insert(info.episode_id, known);
    }
    Ok(texts)
}

/// The folders whose names are numbers, ascending.
fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        // `007` would be looked for as `7`.
        let number = name.parse::<u64>().ok().filter(|number| number.to_string() == name)?;
        path.is_dir().then_some(number)
    };
    let mut found: Vec<u64> = entries(folder)?.into_iter().filter_map(number).collect();
    found.sort_unstable();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|source| Error::Read { file: folder.to_owned(), source })
}
