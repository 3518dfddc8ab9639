//! What the robot was told: the texts of tasks and who did them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::lines;
use super::table::Table;
use crate::Error;

/// Tasks that a data set may list.
const MOST_TASKS: usize = 1 << 22;

/// Bytes of texts that all episodes together may have; a few bytes in a file can repeat a long text for every episode.
const MOST_BYTES: usize = 256 << 20;

/// The tasks of a data set.
pub(super) struct Tasks {
    /// `task_index` -> text.
    texts: BTreeMap<u64, String>,
    /// Bytes that may still be given away.
    left: usize,
}

/// A line of `meta/tasks.jsonl`. Lines of other types say nothing that can be used.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    task_index: Value,
    #[serde(default)]
    task: Value,
}

impl Tasks {
    /// Reads `meta/tasks.parquet` or `meta/tasks.jsonl`. Texts are no necessity: a file that is not there, or has them in
    /// another way, gives none.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let (table, list) = (root.join("meta/tasks.parquet"), root.join("meta/tasks.jsonl"));
        let mut texts = BTreeMap::new();
        if table.is_file() {
            let table = Table::open(&table)?;
            for group in 0..table.groups() {
                let (Some(numbers), Some(found)) =
                    (known(table.integers(group, "task_index"))?, column(&table, group)?)
                else {
                    continue;
                };
                let tasks = numbers.into_iter().zip(found);
                texts.extend(tasks.filter_map(|(number, mut texts)| Some((number, texts.pop()?))));
            }
        } else if list.is_file() {
            let lines = lines::read::<Line>(&list, MOST_TASKS)?;
            texts.extend(
                lines.iter().filter_map(|line| Some((line.task_index.as_u64()?, line.task.as_str()?.into()))),
            );
        }
        Ok(Self { texts, left: MOST_BYTES })
    }

    /// The texts of an episode whose tasks are `named`: a text, the number of a task, a list of them, or anything else for
    /// an episode that does not name them.
    pub(super) fn of(&mut self, named: &Value) -> Vec<String> {
        let mut texts: Vec<&String> = match named {
            Value::Array(values) => values.iter().filter_map(|value| self.text(value)).collect(),
            value => self.text(value).into_iter().collect(),
        };
        // Where only one task exists, every episode has it.
        if texts.is_empty() && self.texts.len() == 1 {
            texts.extend(self.texts.values());
        }
        let bytes = texts.iter().map(|text| text.len() + size_of::<String>()).sum();
        let Some(left) = self.left.checked_sub(bytes) else { return Vec::new() };
        let texts = texts.into_iter().cloned().collect();
        self.left = left;
        texts
    }

    /// The text that is a value, or belongs to it as a number.
    fn text<'a>(&'a self, value: &'a Value) -> Option<&'a String> {
        match value {
            Value::String(text) => Some(text),
            value => self.texts.get(&value.as_u64()?),
        }
    }
}

/// The column with the texts: the index of a pandas table, or a plain one.
fn column(table: &Table, group: usize) -> Result<Option<Vec<Vec<String>>>, Error> {
    match known(table.texts(group, "__index_level_0__"))? {
        Some(texts) => Ok(Some(texts)),
        None => known(table.texts(group, "task")),
    }
}

/// `None` for a column that is not there or has another type.
pub(super) fn known<T>(column: Result<T, Error>) -> Result<Option<T>, Error> {
    match column {
        Err(Error::MissingColumn { .. } | Error::ColumnType { .. }) => Ok(None),
        found => found.map(Some),
    }
}
