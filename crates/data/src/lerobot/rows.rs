//! `data`: time and action of each frame.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::table::Table;
use super::{EpisodeRow, Info};
use crate::{Error, Rows};

/// One frame as found in a file.
struct Row {
    index: u64,
    time: f64,
    /// Where its action starts in the list of all.
    action: usize,
}

/// Reads the rows of `episodes`. A row is found by its column `index`, wherever in the files it stands.
pub(super) fn read(root: &Path, info: &Info, episodes: &[&EpisodeRow]) -> Result<Vec<Rows>, Error> {
    let action_dim = info.width(root, "action")?.unwrap_or(0);
    let mut starts: Vec<&EpisodeRow> = episodes.to_vec();
    starts.sort_by_key(|episode| episode.rows.start);
    let owner = |index: u64| -> Option<&EpisodeRow> {
        let after = starts.partition_point(|episode| episode.rows.start <= index);
        starts[..after].last().copied().filter(|episode| episode.rows.contains(&index))
    };

    let (mut rows, mut values): (Vec<Row>, Vec<f32>) = (Vec::new(), Vec::new());
    for part in episodes.iter().map(|episode| episode.data).collect::<BTreeSet<_>>() {
        let table = Table::open(&info.data_file(root, part)?)?;
        for group in 0..table.groups() {
            let index = table.integers(group, "index")?;
            if index.iter().all(|&index| owner(index).is_none()) {
                continue;
            }
            let (episode, frame) =
                (table.integers(group, "episode_index")?, table.integers(group, "frame_index")?);
            let times = table.numbers(group, "timestamp", 1)?;
            let actions = match action_dim {
                0 => Vec::new(),
                width => table.numbers(group, "action", width)?,
            };
            for (row, &index) in index.iter().enumerate() {
                let Some(owner) = owner(index) else { continue };
                let (found, expected) = ((episode[row], frame[row]), (owner.index, index - owner.rows.start));
                if found != expected {
                    let found = format!("episode {}, frame {} at `index` {index}", found.0, found.1);
                    let expected = format!("episode {}, frame {}", expected.0, expected.1);
                    return Err(error(
                        table.file().to_owned(),
                        "episode_index, frame_index",
                        found,
                        expected,
                    ));
                }
                rows.push(Row { index, time: times[row], action: values.len() });
                let action = &actions[row * action_dim..(row + 1) * action_dim];
                values.extend(action.iter().map(|&value| value as f32));
            }
        }
    }
    rows.sort_by_key(|row| row.index);

    let mut found = Vec::with_capacity(episodes.len());
    for episode in episodes {
        let first = rows.partition_point(|row| row.index < episode.rows.start);
        let end = rows.partition_point(|row| row.index < episode.rows.end);
        let rows = &rows[first..end];
        if rows.len() != episode.frames() || rows.windows(2).any(|pair| pair[0].index == pair[1].index) {
            let found = format!("{} rows of episode {}", rows.len(), episode.index);
            let expected = format!("{}, one for each of {:?}", episode.frames(), episode.rows);
            return Err(error(info.data_file(root, episode.data)?, "index", found, expected));
        }
        let actions = rows.iter().flat_map(|row| &values[row.action..row.action + action_dim]);
        found.push(Rows {
            times: rows.iter().map(|row| row.time).collect(),
            actions: actions.copied().collect(),
            action_dim,
            ..Rows::default()
        });
    }
    Ok(found)
}

fn error(file: PathBuf, field: &str, found: String, expected: String) -> Error {
    let mend = "rows and metadata contradict each other, copy the data set again from its source";
    Error::Field { file, field: format!("column `{field}`"), found, expected, mend }
}
