//! `data`: the rows; and `meta/tasks.parquet`: the texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::layout::{LeRobotLayout, PictureStore, STATE};
use super::number::Number;
use super::recorder::Recorder;
use super::sheet::{Field, Kind, Nesting, Sheet, Values};
use crate::Error;

/// Bytes of pictures in a row group at most, so that one fits in memory; an episode without pictures is one group.
const GROUP: u64 = 32 << 20;

/// The numbers of one episode.
pub(super) struct Episode<'a> {
    pub(super) index: usize,
    pub(super) task_index: usize,
    pub(super) frames: usize,
    /// Number of its first frame in the whole set.
    pub(super) first: usize,
    /// `(frames, A)`.
    pub(super) actions: &'a [f32],
    /// `(frames, S)`.
    pub(super) states: &'a [f32],
}

/// Writes the files of rows.
pub(super) struct Data {
    folder: PathBuf,
    layout: LeRobotLayout,
    fields: Vec<Field>,
    number: Number,
    sheet: Option<Sheet>,
}

impl Data {
    pub(super) fn new(root: &Path, layout: &LeRobotLayout) -> Self {
        let mut fields = Vec::new();
        if layout.pictures == PictureStore::Png {
            let picture = |key: &String| Field::new(key, Kind::Picture, Nesting::Plain);
            fields.extend(layout.cameras.iter().map(|camera| picture(&camera.key)));
        }
        for (key, names) in layout.vectors() {
            let nesting = if names.len() == 1 { Nesting::Plain } else { Nesting::List(names.len()) };
            fields.push(Field::new(key, Kind::Float, nesting));
        }
        fields.push(Field::new("timestamp", Kind::Float, Nesting::Plain));
        for name in ["frame_index", "episode_index", "index", "task_index"] {
            fields.push(Field::new(name, Kind::Integer, Nesting::Plain));
        }
        let (folder, number) = (root.join("data"), Number::default());
        Self { folder, layout: layout.clone(), fields, number, sheet: None }
    }

    /// Writes an episode and tells in which file.
    pub(super) fn write(
        &mut self,
        episode: &Episode<'_>,
        recorders: &mut [Recorder],
    ) -> Result<Number, Error> {
        let limit = u64::from(self.layout.limits.data_mb) << 20;
        if let Some(sheet) = self.sheet.take_if(|sheet| sheet.bytes() >= limit) {
            sheet.finish()?;
            self.number = self.number.next();
        }
        let mut start = 0;
        while start < episode.frames {
            let (mut end, mut bytes) = (start, 0);
            while end < episode.frames && (bytes < GROUP || end == start) {
                bytes += recorders.iter().map(|recorder| recorder.png_length(end)).sum::<u64>();
                end += 1;
            }
            let rows = self.rows(episode, recorders, start, end)?;
            self.open()?.write(&rows)?;
            start = end;
        }
        Ok(self.number)
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        self.sheet.map_or(Ok(()), Sheet::finish)
    }

    fn open(&mut self) -> Result<&mut Sheet, Error> {
        match &mut self.sheet {
            Some(sheet) => Ok(sheet),
            empty => {
                let metadata = Some(("huggingface", self.layout.columns().to_string()));
                let file = self.number.place(&self.folder, "parquet")?;
                Ok(empty.insert(Sheet::create(&file, &self.fields, metadata)?))
            }
        }
    }

    /// The frames `start..end` of an episode.
    fn rows(
        &self,
        episode: &Episode<'_>,
        recorders: &mut [Recorder],
        start: usize,
        end: usize,
    ) -> Result<Vec<Values>, Error> {
        let mut rows = Vec::new();
        if self.layout.pictures == PictureStore::Png {
            for recorder in recorders {
                let picture =
                    |frame| Ok((recorder.png(frame)?.unwrap_or_default(), format!("frame-{frame:06}.png")));
                rows.push(Values::PictureStore((start..end).map(picture).collect::<Result<_, Error>>()?));
            }
        }
        for (key, names) in self.layout.vectors() {
            let values = if key == STATE { episode.states } else { episode.actions };
            rows.push(Values::Floats(values[start * names.len()..end * names.len()].to_vec()));
        }
        let integers = |value: &dyn Fn(usize) -> usize| {
            Values::Integers((start..end).map(|frame| value(frame) as i64).collect())
        };
        let time = |frame: usize| (frame as f64 / self.layout.fps) as f32;
        rows.push(Values::Floats((start..end).map(time).collect()));
        rows.push(integers(&|frame| frame));
        rows.push(integers(&|_| episode.index));
        rows.push(integers(&|frame| episode.first + frame));
        rows.push(integers(&|_| episode.task_index));
        Ok(rows)
    }
}

/// Texts in the order of their first use.
#[derive(Default)]
pub(super) struct Tasks(BTreeMap<String, usize>);

impl Tasks {
    /// Number of a text.
    pub(super) fn index(&mut self, task: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(task.to_owned()).or_insert(next)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes the table as pandas does a frame whose index is the text.
    pub(super) fn write(&self, root: &Path) -> Result<(), Error> {
        const INDEX: &str = "__index_level_0__";
        let column = |name: &str, pandas: &str, numpy: &str| {
            json!({
                "name": (name != INDEX).then_some(name), "field_name": name,
                "pandas_type": pandas, "numpy_type": numpy, "metadata": null,
            })
        };
        let pandas = json!({
            "index_columns": [INDEX],
            "column_indexes": [{
                "name": null, "field_name": null, "pandas_type": "unicode", "numpy_type": "object",
                "metadata": { "encoding": "UTF-8" },
            }],
            "columns": [column("task_index", "int64", "int64"), column(INDEX, "unicode", "object")],
            "attributes": {},
            "creator": { "library": "cola-data", "version": env!("CARGO_PKG_VERSION") },
            "pandas_version": "2.2.0",
        });
        let fields = [
            Field::new("task_index", Kind::Integer, Nesting::Plain),
            Field::new(INDEX, Kind::Text, Nesting::Plain),
        ];
        let mut texts: Vec<(&String, usize)> = self.0.iter().map(|(text, index)| (text, *index)).collect();
        texts.sort_by_key(|(_, index)| *index);
        let (texts, indices) = texts.into_iter().map(|(text, index)| (text.clone(), index as i64)).unzip();
        let file = root.join("meta/tasks.parquet");
        let mut sheet = Sheet::create(&file, &fields, Some(("pandas", pandas.to_string())))?;
        sheet.write(&[Values::Integers(indices), Values::Texts(texts)])?;
        sheet.finish()
    }
}
