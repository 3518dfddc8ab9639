//! `meta/episodes` of v3: tables that say where in the shared files an episode lies.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Info;
use super::episode::{EpisodeRow, FOLDER, Part, VideoSpan, error};
use super::table::Table;
use super::tasks::{Tasks, known};
use crate::Error;

/// Reads the episodes in any order, with their texts.
pub(super) fn read(
    root: &Path,
    info: &Info,
    tasks: &mut Tasks,
) -> Result<Vec<(EpisodeRow, Vec<String>)>, Error> {
    let mut files = Vec::new();
    for chunk in list(&root.join(FOLDER))? {
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
            read_group(&table, group, info, tasks, &mut episodes)?;
        }
    }
    Ok(episodes)
}

/// Appends the episodes of one row group.
fn read_group(
    table: &Table,
    group: usize,
    info: &Info,
    tasks: &mut Tasks,
    episodes: &mut Vec<(EpisodeRow, Vec<String>)>,
) -> Result<(), Error> {
    let rows = table.rows(group)?;
    if rows > info.total_episodes.saturating_sub(episodes.len()) {
        let found = format!("{} rows or more", episodes.len() + rows);
        let expected = format!("{}, `total_episodes` of meta/info.json", info.total_episodes);
        return Err(error(table.file().to_owned(), "episode_index", found, expected));
    }
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
    for key in info.videos() {
        let parts = parts(&format!("videos/{key}"))?;
        let from = table.numbers(group, &format!("videos/{key}/from_timestamp"), 1, 0..rows)?;
        cameras.push((key, parts, from));
    }
    let mut texts = known(table.texts(group, "tasks"))?.map(Vec::into_iter);
    for row in 0..rows {
        let (from, to) = (from[row], to[row]);
        if from > to || to - from != length[row] {
            let found = format!("{from}..{to} for episode {}", index[row]);
            let expected = format!("a range of its `length`, {}", length[row]);
            let file = table.file().to_owned();
            return Err(error(file, "dataset_from_index, dataset_to_index", found, expected));
        }
        let videos = cameras
            .iter()
            .map(|(key, parts, from)| ((*key).clone(), VideoSpan { part: parts[row], from: from[row] }));
        let episode =
            EpisodeRow { index: index[row], rows: from..to, data: data[row], videos: videos.collect() };
        let texts = texts.as_mut().and_then(Iterator::next).map_or(Value::Null, Value::from);
        episodes.push((episode, tasks.of(&texts)));
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
