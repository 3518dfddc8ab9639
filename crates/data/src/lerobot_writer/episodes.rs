//! `meta/episodes`: where each episode lies, and its statistics.

use std::path::{Path, PathBuf};

use super::layout::{LeRobotLayout, PictureStore};
use super::number::Number;
use super::recorder::Span;
use super::sheet::{Field, Kind, Nesting, Sheet, Values};
use super::summary::Summary;
use crate::Error;

/// Episodes in a row group, and so the most that wait in memory.
const ROWS: usize = 64;

/// The statistic after which LeRobot has the number of frames.
const BEFORE_COUNT: &str = "std";

/// A feature that has statistics.
pub(super) struct Feature {
    pub(super) key: String,
    /// Whether its values are whole numbers.
    pub(super) whole: bool,
    /// Whether it is a camera, whose statistics have the shape (3, 1, 1).
    pub(super) camera: bool,
    width: usize,
}

impl Feature {
    /// All of a layout, in the order in which statistics are handed over.
    pub(super) fn all(layout: &LeRobotLayout) -> Vec<Self> {
        let camera = |key: &String| Self { key: key.clone(), whole: false, camera: true, width: 3 };
        let plain = |key: &str, whole, width| Self { key: key.to_owned(), whole, camera: false, width };
        let mut all: Vec<Self> = layout.cameras.iter().map(|found| camera(&found.key)).collect();
        all.extend(layout.vectors().map(|(key, names)| plain(key, false, names.len())));
        all.push(plain("timestamp", false, 1));
        all.extend(["frame_index", "episode_index", "index", "task_index"].map(|key| plain(key, true, 1)));
        all
    }

    fn nesting(&self) -> Nesting {
        if self.camera { Nesting::Deep(self.width) } else { Nesting::List(self.width) }
    }
}

/// What the table says of one episode.
pub(super) struct Entry<'a> {
    pub(super) episode: usize,
    pub(super) task: &'a str,
    pub(super) frames: usize,
    /// Number of its first frame in the whole set.
    pub(super) first: usize,
    pub(super) data: Number,
    /// For each camera; empty if pictures stand in the rows.
    pub(super) spans: &'a [Span],
    /// For each of [`Feature::all`].
    pub(super) summaries: &'a [Summary],
}

/// Writes the table.
pub(super) struct Episodes {
    folder: PathBuf,
    fields: Vec<Field>,
    features: Vec<Feature>,
    /// Bytes after which a new file begins.
    limit: u64,
    number: Number,
    sheet: Option<Sheet>,
    pending: Vec<Values>,
    rows: usize,
}

impl Episodes {
    pub(super) fn new(root: &Path, layout: &LeRobotLayout) -> Self {
        Self {
            folder: root.join("meta/episodes"),
            fields: fields(layout),
            features: Feature::all(layout),
            limit: u64::from(layout.limits.data_mb) << 20,
            number: Number::default(),
            sheet: None,
            pending: Vec::new(),
            rows: 0,
        }
    }

    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let row = self.row(entry);
        if self.pending.is_empty() {
            self.pending = row;
        } else {
            self.pending.iter_mut().zip(row).for_each(|(all, more)| all.append(more));
        }
        self.rows += 1;
        if self.rows < ROWS { Ok(()) } else { self.flush() }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.sheet.map_or(Ok(()), Sheet::finish)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut sheet = match self.sheet.take() {
            Some(sheet) => sheet,
            None => Sheet::create(&self.number.place(&self.folder, "parquet")?, &self.fields, None)?,
        };
        sheet.write(&std::mem::take(&mut self.pending))?;
        self.rows = 0;
        if sheet.bytes() < self.limit {
            self.sheet = Some(sheet);
            return Ok(());
        }
        self.number = self.number.next();
        sheet.finish()
    }

    /// The values of [`fields`].
    fn row(&self, entry: &Entry<'_>) -> Vec<Values> {
        let integer = |value: usize| Values::Integers(vec![value as i64]);
        let place = |number: Number| [number.chunk, number.file].map(|value| Values::Integers(vec![value]));
        let mut row =
            vec![integer(entry.episode), Values::Texts(vec![entry.task.to_owned()]), integer(entry.frames)];
        row.extend(place(entry.data));
        row.extend([integer(entry.first), integer(entry.first + entry.frames)]);
        for span in entry.spans {
            row.extend(place(span.number));
            row.extend([span.from, span.to].map(|seconds| Values::Doubles(vec![seconds])));
        }
        for (feature, summary) in self.features.iter().zip(entry.summaries) {
            for (name, values) in summary.values() {
                row.push(match name {
                    "min" | "max" if feature.whole => {
                        Values::Integers(values.iter().map(|value| *value as i64).collect())
                    }
                    _ => Values::Doubles(values.to_vec()),
                });
                if name == BEFORE_COUNT {
                    row.push(Values::Integers(vec![summary.count as i64]));
                }
            }
        }
        row.extend(place(self.number));
        row
    }
}

fn fields(layout: &LeRobotLayout) -> Vec<Field> {
    let integer = |name: String| Field::new(name, Kind::Integer, Nesting::Plain);
    let place = |prefix: &str| ["chunk_index", "file_index"].map(|name| integer(format!("{prefix}/{name}")));
    let mut fields = vec![
        integer("episode_index".into()),
        Field::new("tasks", Kind::Text, Nesting::List(1)),
        integer("length".into()),
    ];
    fields.extend(place("data"));
    fields.extend(["dataset_from_index", "dataset_to_index"].map(|name| integer(name.into())));
    if layout.pictures != PictureStore::Png {
        for camera in &layout.cameras {
            let key = &camera.key;
            fields.extend(place(&format!("videos/{key}")));
            fields.extend(
                ["from_timestamp", "to_timestamp"]
                    .map(|name| Field::new(format!("videos/{key}/{name}"), Kind::Double, Nesting::Plain)),
            );
        }
    }
    for feature in Feature::all(layout) {
        let name = |name: &str| format!("stats/{}/{name}", feature.key);
        for statistic in Summary::NAMES {
            let whole = feature.whole && ["min", "max"].contains(&statistic);
            let kind = if whole { Kind::Integer } else { Kind::Double };
            fields.push(Field::new(name(statistic), kind, feature.nesting()));
            if statistic == BEFORE_COUNT {
                fields.push(Field::new(name("count"), Kind::Integer, Nesting::List(1)));
            }
        }
    }
    fields.extend(place("meta/episodes"));
    fields
}
