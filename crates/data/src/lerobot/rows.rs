//! `data`: time, action and state of each frame, and where its row stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::table::Table;
use super::{EpisodeRow, LeRobot, Part};
use crate::{Error, Rows};

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The row group.
    pub(super) group: u32,
    /// The row in it.
    pub(super) row: u32,
}

/// One frame as found in a file.
struct Row {
    /// Number of the frame among those of all episodes.
    index: u64,
    time: f64,
    place: Place,
    /// Where its action and state start in the lists of all.
    number: usize,
}

/// The episodes that are wanted, by their first frame.
struct Wanted<'a>(Vec<&'a EpisodeRow>);

impl<'a> Wanted<'a> {
    /// The episode that a frame belongs to.
    fn owner(&self, index: u64) -> Option<&'a EpisodeRow> {
        let after = self.0.partition_point(|episode| episode.rows.start <= index);
        self.0[..after].last().copied().filter(|episode| episode.rows.contains(&index))
    }

    /// Whether one of the frames `least..=most` belongs to an episode.
    fn any(&self, least: u64, most: u64) -> bool {
        let from = self.0.partition_point(|episode| episode.rows.end <= least);
        self.0.get(from).is_some_and(|episode| episode.rows.start <= most)
    }
}

/// Reads the rows of `episodes`. A row is found by its number, wherever in the file it stands.
pub(super) fn read(dataset: &LeRobot, episodes: &[&EpisodeRow]) -> Result<Vec<(Rows, Vec<Place>)>, Error> {
    let LeRobot { root, info, .. } = dataset;
    let action_dim = info.width(root, "action")?.unwrap_or(0);
    let state_dim = info.optional_width("observation.state");
    let mut wanted = Wanted(episodes.to_vec());
    wanted.0.sort_by_key(|episode| episode.rows.start);

    let frames = episodes.iter().fold(0usize, |sum, episode| sum.saturating_add(episode.frames()));
    let (mut rows, mut actions, mut states): (Vec<Row>, Vec<f32>, Vec<f32>) = Default::default();
    let files: BTreeMap<Part, &EpisodeRow> =
        episodes.iter().map(|episode| (episode.data, *episode)).collect();
    for (part, episode) in files {
        let table = dataset.data(part)?;
        if info.own_files() {
            check_length(&table, episode)?;
        }
        for group in 0..table.groups() {
            let found = find(&table, group, &wanted, info.own_files().then_some(episode))?;
            // A few bytes can repeat a row millions of times: counted before anything is kept of it.
            if found.len() > frames.saturating_sub(rows.len()) {
                let found = format!("{} rows or more of the wanted episodes", rows.len() + found.len());
                let expected = format!("{frames}, one for each frame");
                return Err(error(table.file().to_owned(), "index", found, expected));
            }
            // Rows of an episode usually stand together: the rest of a large group is not even read.
            let (Some(first), Some(last)) = (found.first(), found.last()) else { continue };
            let (first, span) = (first.0, first.0..last.0 + 1);
            let times = table.numbers(group, "timestamp", 1, span.clone())?;
            let numbers = |name, width| match width {
                0 => Ok(Vec::new()),
                width => table.numbers(group, name, width, span.clone()),
            };
            let (action, state) = (numbers("action", action_dim)?, numbers("observation.state", state_dim)?);
            for (row, index) in found {
                let (at, number) = (row - first, rows.len());
                // Both are below 2^32: a row group is limited, and so is the footer that lists the groups.
                let place = Place { group: group as u32, row: row as u32 };
                rows.push(Row { index, time: times[at], place, number });
                let single = |values: &[f64], width: usize, list: &mut Vec<f32>| {
                    list.extend(values[at * width..(at + 1) * width].iter().map(|&value| value as f32));
                };
                single(&action, action_dim, &mut actions);
                single(&state, state_dim, &mut states);
            }
        }
    }
    rows.sort_by_key(|row| row.index);

    let mut answers = Vec::with_capacity(episodes.len());
    for episode in episodes {
        let first = rows.partition_point(|row| row.index < episode.rows.start);
        let end = rows.partition_point(|row| row.index < episode.rows.end);
        let rows = &rows[first..end];
        if rows.len() != episode.frames() || rows.windows(2).any(|pair| pair[0].index == pair[1].index) {
            let found = format!("{} rows of episode {}", rows.len(), episode.index);
            let expected = format!("{}, one for each of {:?}", episode.frames(), episode.rows);
            return Err(error(info.data_file(root, episode.data)?, "index", found, expected));
        }
        let pick = |values: &[f32], width: usize| -> Vec<f32> {
            rows.iter()
                .flat_map(|row| &values[row.number * width..(row.number + 1) * width])
                .copied()
                .collect()
        };
        let answer = Rows {
            times: rows.iter().map(|row| row.time).collect(),
            actions: pick(&actions, action_dim),
            action_dim,
            states: pick(&states, state_dim),
            state_dim,
        };
        answers.push((answer, rows.iter().map(|row| row.place).collect()));
    }
    Ok(answers)
}

/// Rows of a group that belong to wanted episodes, ascending, and the number of the frame of each. `own` is the episode
/// that alone has the file.
fn find(
    table: &Table,
    group: usize,
    wanted: &Wanted<'_>,
    own: Option<&EpisodeRow>,
) -> Result<Vec<(usize, u64)>, Error> {
    let elsewhere = |range: std::ops::RangeInclusive<u64>| !wanted.any(*range.start(), *range.end());
    let numbers = match own {
        // Files of v2 are put together and taken apart without renumbering: only `frame_index` is sure to be right.
        Some(episode) => {
            let mut numbers = table.integers(group, "frame_index")?;
            numbers.iter_mut().for_each(|number| *number = number.saturating_add(episode.rows.start));
            numbers
        }
        None if table.range(group, "index").is_some_and(elsewhere) => return Ok(Vec::new()),
        None => table.integers(group, "index")?,
    };
    let rows = numbers.iter().enumerate();
    let found: Vec<_> = rows.filter_map(|(row, &index)| Some((row, index, wanted.owner(index)?))).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (episode, frame) = (table.integers(group, "episode_index")?, table.integers(group, "frame_index")?);
    for &(row, index, owner) in &found {
        let (found, expected) = ((episode[row], frame[row]), (owner.index, index - owner.rows.start));
        if found != expected {
            let found = format!("episode {}, frame {} at `index` {index}", found.0, found.1);
            let expected = format!("episode {}, frame {}", expected.0, expected.1);
            return Err(error(table.file().to_owned(), "episode_index, frame_index", found, expected));
        }
    }
    Ok(found.into_iter().map(|(row, index, _)| (row, index)).collect())
}

/// Refuses a file that has not the rows of its episode and nothing else.
fn check_length(table: &Table, episode: &EpisodeRow) -> Result<(), Error> {
    let mut rows = 0;
    for group in 0..table.groups() {
        rows += table.rows(group)?;
    }
    if rows == episode.frames() {
        return Ok(());
    }
    let expected = format!("{}, `length` in meta/episodes.jsonl", episode.frames());
    Err(error(table.file().to_owned(), "frame_index", format!("{rows} rows"), expected))
}

fn error(file: PathBuf, field: &str, found: String, expected: String) -> Error {
    let mend = "rows and metadata contradict each other, copy the data set again from its source";
    Error::Field { file, field: format!("column `{field}`"), found, expected, mend }
}
