//! The table of episodes: which rows and which stretch of video make an episode, in either version.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::tasks::Tasks;
use super::{Info, episodes_v2, episodes_v3};
use crate::Error;

/// The folder of v3's tables.
pub(super) const FOLDER: &str = "meta/episodes";

/// Frames of an episode; this is six days at 30 a second.
const MOST_FRAMES: u64 = 1 << 24;

/// Number of a file, the same scheme for rows and videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Part {
    /// `chunk_index` or v2's `episode_chunk`: the folder.
    pub(crate) chunk: u64,
    /// `file_index` or v2's `episode_index`: the file in it.
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

/// What the metadata say about an episode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EpisodeRow {
    /// `episode_index`.
    pub(crate) index: u64,
    /// Numbers of its frames among those of all episodes: the first and one past the last.
    pub(crate) rows: Range<u64>,
    /// File with the rows.
    pub(crate) data: Part,
    /// Camera with video files -> where its pictures are.
    pub(crate) videos: BTreeMap<String, VideoSpan>,
}

impl EpisodeRow {
    /// Number of frames.
    pub(crate) fn frames(&self) -> usize {
        // Checked when the row was read.
        (self.rows.end - self.rows.start) as usize
    }
}

/// Reads all episodes of the data set in `root`, and what the robot was told in each.
pub(super) fn read(root: &Path, info: &Info) -> Result<(Vec<EpisodeRow>, Vec<Vec<String>>), Error> {
    let mut tasks = Tasks::read(root)?;
    let (file, range, mut episodes) = if info.own_files() {
        let episodes = episodes_v2::read(root, info, &mut tasks)?;
        (root.join("meta/episodes.jsonl"), "length", episodes)
    } else {
        (root.join(FOLDER), "dataset_to_index", episodes_v3::read(root, info, &mut tasks)?)
    };
    episodes.sort_by_key(|(episode, _)| episode.index);
    let numbered = episodes.iter().zip(0..).all(|((episode, _), index)| episode.index == index);
    if !numbered || episodes.len() != info.total_episodes {
        let found = format!("{} episodes, numbered from 0 without a gap: {numbered}", episodes.len());
        let expected = format!("0..{} from meta/info.json", info.total_episodes);
        return Err(error(file, "episode_index", found, expected));
    }
    let lengths = 1..=MOST_FRAMES;
    let odd = |episode: &&EpisodeRow| !lengths.contains(&(episode.rows.end - episode.rows.start));
    if let Some(episode) = episodes.iter().map(|(episode, _)| episode).find(odd) {
        let found = format!("{:?} for episode {}", episode.rows, episode.index);
        return Err(error(file, range, found, format!("1 to {MOST_FRAMES} frames")));
    }
    // Start and end of every episode lie within the total, and each frame belongs to one episode only.
    let mut rows: Vec<&Range<u64>> = episodes.iter().map(|(episode, _)| &episode.rows).collect();
    rows.sort_by_key(|rows| rows.start);
    let apart = rows.windows(2).all(|pair| pair[0].end <= pair[1].start);
    if !apart || rows.last().is_some_and(|rows| rows.end > info.total_frames as u64) {
        let found = "ranges that overlap or pass the end".to_owned();
        return Err(error(file, range, found, format!("ranges within 0..{}", info.total_frames)));
    }
    Ok(episodes.into_iter().unzip())
}

pub(super) fn error(file: PathBuf, field: &str, found: String, expected: String) -> Error {
    let mend = "the metadata contradict each other, copy the meta folder again from the data set's source";
    Error::Field { file, field: format!("column `{field}`"), found, expected, mend }
}
