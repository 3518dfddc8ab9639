//! `meta/episodes`: which rows and which stretch of video make an episode.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Info;
use super::table::Table;
use crate::Error;

/// Number of a file, the same scheme for rows and videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Part {
    /// `chunk_index`: the folder.
    pub(crate) chunk: u64,
    /// `file_index`: the file in it.
    pub(crate) file: u64,
}

/// Where an episode lies in one camera's videos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VideoSpan {
    /// The file.
    pub(crate) part: Part,
    /// Time of the episode's first frame in that file, seconds.
    pub(crate) from: f64,
}

/// One row of `meta/episodes`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EpisodeRow {
    /// `episode_index`.
    pub(crate) index: u64,
    /// Value of the column `index` for the first frame and one past that of the last.
    pub(crate) rows: Range<u64>,
    /// File with the rows.
    pub(crate) data: Part,
    /// Camera -> where its pictures are.
    pub(crate) videos: BTreeMap<String, VideoSpan>,
}

impl EpisodeRow {
    /// Number of frames.
    pub(crate) fn frames(&self) -> usize {
        // Checked when the row was read.
        (self.rows.end - self.rows.start) as usize
    }
}

/// Reads all episodes of the data set in `root`.
pub(super) fn read(root: &Path, info: &Info) -> Result<Vec<EpisodeRow>, Error> {
    let folder = root.join("meta/episodes");
    let mut files = Vec::new();
    for chunk in list(&folder)? {
        if chunk.is_dir() {
            files.extend(
                list(&chunk)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "parquet")),
            );
        }
    }
    files.sort();
    let mut episodes = Vec::new();
    for file in &files {
        let table = Table::open(file)?;
        for group in 0..table.groups() {
            read_group(&table, group, info, &mut episodes)?;
        }
    }
    episodes.sort_by_key(|episode| episode.index);
    let numbered = episodes.iter().zip(0..).all(|(episode, index)| episode.index == index);
    if !numbered || episodes.len() != info.total_episodes {
        let found = format!("{} episodes, numbered from 0 without a gap: {numbered}", episodes.len());
        return Err(error(
            folder,
            "episode_index",
            found,
            format!("0..{} from meta/info.json", info.total_episodes),
        ));
    }
    // Start and end of every episode lie within the total, and each frame belongs to one episode only.
    let mut rows: Vec<&Range<u64>> = episodes.iter().map(|episode| &episode.rows).collect();
    rows.sort_by_key(|rows| rows.start);
    let apart = rows.windows(2).all(|pair| pair[0].end <= pair[1].start);
    if !apart || rows.last().is_some_and(|rows| rows.end > info.total_frames as u64) {
        let found = "ranges that overlap or pass the end".to_owned();
        return Err(error(
            folder,
            "dataset_to_index",
            found,
            format!("ranges within 0..{}", info.total_frames),
        ));
    }
    Ok(episodes)
}

/// Appends the episodes of one row group.
fn read_group(table: &Table, group: usize, info: &Info, episodes: &mut Vec<EpisodeRow>) -> Result<(), Error> {
    let integers = |name: &str| table.integers(group, name);
    let parts = |prefix: &str| -> Result<Vec<Part>, Error> {
        let chunks = integers(&format!("{prefix}/chunk_index"))?;
        let files = integers(&format!("{prefix}/file_index"))?;
        Ok(chunks.into_iter().zip(files).map(|(chunk, file)| Part { chunk, file }).collect())
    };
    let (index, length) = (integers("episode_index")?, integers("length")?);
    let (from, to) = (integers("dataset_from_index")?, integers("dataset_to_index")?);
    let data = parts("data")?;
    let mut cameras = Vec::new();
    for (key, _) in info.features.iter().filter(|(_, feature)| feature.dtype == "video") {
        let parts = parts(&format!("videos/{key}"))?;
        let from = table.numbers(group, &format!("videos/{key}/from_timestamp"), 1)?;
        cameras.push((key, parts, from));
    }
    for row in 0..index.len() {
        let (from, to) = (from[row], to[row]);
        if from >= to || to - from != length[row] {
            let found = format!("{from}..{to} for episode {}", index[row]);
            let expected = format!("a range of its `length`, {}, and at least one frame", length[row]);
            return Err(error(
                table.file().to_owned(),
                "dataset_from_index, dataset_to_index",
                found,
                expected,
            ));
        }
        let videos = cameras
            .iter()
            .map(|(key, parts, from)| ((*key).clone(), VideoSpan { part: parts[row], from: from[row] }));
        episodes.push(EpisodeRow {
            index: index[row],
            rows: from..to,
            data: data[row],
            videos: videos.collect(),
        });
    }
    Ok(())
}

/// Entries of a folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() {
        let mend = "the data set is incomplete, copy its meta folder again";
        return Err(Error::MissingFile {
            file: folder.to_owned(),
            expected: "the folder of the episode tables",
            mend,
        });
    }
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|source| Error::Read { file: folder.to_owned(), source })
}

fn error(file: PathBuf, field: &str, found: String, expected: String) -> Error {
    let mend = "the metadata contradict each other, copy the meta folder again from the data set's source";
    Error::Field { file, field: format!("column `{field}`"), found, expected, mend }
}
