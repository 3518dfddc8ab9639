//! `meta/episodes.jsonl` of v2: each episode has files of its own.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::episode::{EpisodeRow, Part, VideoSpan};
use super::tasks::Tasks;
use super::{Info, lines};
use crate::Error;

/// One line.
#[derive(Deserialize)]
struct Line {
    episode_index: u64,
    length: u64,
    #[serde(default)]
    tasks: Value,
}

/// Reads the episodes, ascending, with their texts.
pub(super) fn read(
    root: &Path,
    info: &Info,
    tasks: &mut Tasks,
) -> Result<Vec<(EpisodeRow, Vec<String>)>, Error> {
    let file = root.join("meta/episodes.jsonl");
    if !file.is_file() {
        let mend = "the data set is incomplete, copy its meta folder again";
        return Err(Error::MissingFile { file, expected: "the list of episodes", mend });
    }
    let mut lines = lines::read::<Line>(&file, info.total_episodes)?;
    lines.sort_by_key(|line| line.episode_index);
    let mut start = 0u64;
    let episode = |line: Line| {
        // A sum that leaves the range leaves `total_frames` as well, and is refused with the other lengths.
        let rows = start..start.saturating_add(line.length);
        start = rows.end;
        let part = Part { chunk: line.episode_index / info.chunks_size, file: line.episode_index };
        let videos = info.videos().map(|key| (key.clone(), VideoSpan { part, from: 0.0 })).collect();
        let texts = tasks.of(&line.tasks);
        (EpisodeRow { index: line.episode_index, rows, data: part, videos }, texts)
    };
    Ok(lines.into_iter().map(episode).collect())
}
