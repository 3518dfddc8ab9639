//! A small LeRobot data set in a temporary folder, every part of which a test can change.
//!
//! Four episodes of 6 frames; episodes 0 and 1 lie in the first data and video file, 2 and 3 in the second. Both video
//! files are `tests/data/b_frames.mp4`: 24 grey pictures of 32 x 48 pixels, picture `n` of brightness `20 + 8 n`, 5 a
//! second, a key frame every 8 and B frames between (libx264 `-g 8 -bf 3`). Frame `k` of episode `e` is picture
//! `6 e + k`, its action is `(e, k)`.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod fake;
pub(crate) mod sets;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cola_data::{ClipOptions, Dataset, EpisodeClips, Error, LeRobot, Region, Run};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{GroupTypeBuilder, Type};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The shipped RoboDesk set.
pub(crate) const ROBODESK: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/robodesk_lerobot");
/// The shipped Push-T set.
pub(crate) const PUSHT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/pusht_lerobot");
/// Frames of an episode of the toy set.
pub(crate) const FRAMES: usize = 6;
const VIDEO: &[u8] = include_bytes!("../data/b_frames.mp4");

/// Content of a parquet column.
#[derive(Clone)]
pub(crate) enum Column {
    Integers(Vec<i64>),
    Doubles(Vec<f64>),
    Floats(Vec<f32>),
    /// Lists of equal length.
    Lists(usize, Vec<f32>),
    Texts(Vec<&'static str>),
    /// A list of texts a row.
    TextLists(Vec<Vec<&'static str>>),
    /// `bytes` and `path` of each.
    Pictures(Vec<Picture>),
}

pub(crate) type Picture = (Option<Vec<u8>>, Option<&'static str>);

pub(crate) type Columns = Vec<(String, Column)>;

/// Writes a file with one row group.
pub(crate) fn write_parquet(file: &Path, columns: &Columns) {
    let schema = columns.iter().map(|(name, column)| Arc::new(field(name, column))).collect();
    let schema = Type::group_type_builder("schema").with_fields(schema).build().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // Not all writers leave statistics; the sets of the LeRobot package have them.
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None).build();
    let file = File::create(file).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, column) in columns {
        let mut writer = group.next_column().unwrap().unwrap();
        let present = |count: usize| vec![1; count];
        match column {
            Column::Integers(v) => writer.typed::<Int64Type>().write_batch(v, Some(&present(v.len())), None),
            Column::Doubles(v) => writer.typed::<DoubleType>().write_batch(v, Some(&present(v.len())), None),
            Column::Floats(v) => writer.typed::<FloatType>().write_batch(v, Some(&present(v.len())), None),
            Column::Texts(v) => {
                let texts: Vec<ByteArray> = v.iter().map(|&text| text.into()).collect();
                writer.typed::<ByteArrayType>().write_batch(&texts, Some(&present(v.len())), None)
            }
            Column::TextLists(v) => {
                let texts: Vec<ByteArray> = v.iter().flatten().map(|&text| text.into()).collect();
                let nesting: Vec<i16> =
                    v.iter().flat_map(|row| (0..row.len()).map(|i| i16::from(i != 0))).collect();
                writer.typed::<ByteArrayType>().write_batch(
                    &texts,
                    Some(&vec![3; texts.len()]),
                    Some(&nesting),
                )
            }
            Column::Pictures(v) => {
                let bytes: Vec<_> = v.iter().map(|(bytes, _)| bytes.clone().map(ByteArray::from)).collect();
                write_optional(writer, &bytes);
                writer = group.next_column().unwrap().unwrap();
                let paths: Vec<_> = v.iter().map(|(_, path)| path.map(ByteArray::from)).collect();
                write_optional(writer, &paths);
                continue;
            }
            Column::Lists(width, v) => {
                let nesting: Vec<i16> = (0..v.len()).map(|i| i16::from(i % width != 0)).collect();
                writer.typed::<FloatType>().write_batch(v, Some(&vec![3; v.len()]), Some(&nesting))
            }
        }
        .unwrap();
        writer.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Writes one leaf of a struct.
fn write_optional(mut writer: SerializedColumnWriter<'_>, values: &[Option<ByteArray>]) {
    let present: Vec<i16> = values.iter().map(|value| 1 + i16::from(value.is_some())).collect();
    let values: Vec<ByteArray> = values.iter().flatten().cloned().collect();
    writer.typed::<ByteArrayType>().write_batch(&values, Some(&present), None).unwrap();
    writer.close().unwrap();
}

fn field(name: &str, column: &Column) -> Type {
    let list = |physical| {
        let list = group("list", Repetition::REPEATED, vec![plain("element", physical)]).build().unwrap();
        let list = group(name, Repetition::OPTIONAL, vec![list]);
        list.with_logical_type(Some(LogicalType::List)).build().unwrap()
    };
    match column {
        Column::Integers(_) => plain(name, Physical::INT64),
        Column::Doubles(_) => plain(name, Physical::DOUBLE),
        Column::Floats(_) => plain(name, Physical::FLOAT),
        Column::Texts(_) => plain(name, Physical::BYTE_ARRAY),
        Column::Lists(..) => list(Physical::FLOAT),
        Column::TextLists(_) => list(Physical::BYTE_ARRAY),
        Column::Pictures(_) => {
            let fields = ["bytes", "path"].map(|name| plain(name, Physical::BYTE_ARRAY));
            group(name, Repetition::OPTIONAL, fields.into()).build().unwrap()
        }
    }
}

fn group(name: &str, repetition: Repetition, fields: Vec<Type>) -> GroupTypeBuilder<'_> {
    let fields = fields.into_iter().map(Arc::new).collect();
    Type::group_type_builder(name).with_repetition(repetition).with_fields(fields)
}

fn plain(name: &str, physical: Physical) -> Type {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build().unwrap()
}

/// The parts of the set; change them, then [`write`](Self::write).
pub(crate) struct Toy {
    pub(crate) folder: TempDir,
    pub(crate) info: Value,
    pub(crate) episodes: Columns,
    pub(crate) data: [Columns; 2],
    pub(crate) video: Vec<u8>,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let feature = |dtype: &str, width: usize| json!({ "dtype": dtype, "shape": [width], "names": null });
        let info = json!({
            "codebase_version": "v3.0", "robot_type": null, "total_episodes": 4, "total_frames": 24, "fps": 5,
            "splits": { "train": "0:3", "valid": "3:4", "none": "2:2" },
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {
                "camera": { "dtype": "video", "shape": [3, 32, 48], "names": ["channels", "height", "width"] },
                "action": feature("float32", 2), "timestamp": feature("float32", 1),
                "frame_index": feature("int64", 1), "episode_index": feature("int64", 1), "index": feature("int64", 1)
            }
        });
        let integers = |values: [i64; 4]| Column::Integers(values.to_vec());
        let starts = (0..4).map(|e| f64::from(e * 6) / 5.0).collect();
        let episodes = [
            ("episode_index", integers([0, 1, 2, 3])),
            ("length", integers([6; 4])),
            ("dataset_from_index", integers([0, 6, 12, 18])),
            ("dataset_to_index", integers([6, 12, 18, 24])),
            ("data/chunk_index", integers([0; 4])),
            ("data/file_index", integers([0, 0, 1, 1])),
            ("videos/camera/chunk_index", integers([0; 4])),
            ("videos/camera/file_index", integers([0, 0, 1, 1])),
            ("videos/camera/from_timestamp", Column::Doubles(starts)),
        ];
        // Backwards, so that a row's place in its file says nothing.
        let data = [(0..12).rev(), (12..24).rev()].map(|rows| {
            let rows: Vec<i64> = rows.collect();
            let integers =
                |value: fn(i64) -> i64| Column::Integers(rows.iter().map(|&row| value(row)).collect());
            let actions = rows.iter().flat_map(|row| [(row / 6) as f32, (row % 6) as f32]).collect();
            named([
                ("action", Column::Lists(2, actions)),
                ("timestamp", Column::Floats(rows.iter().map(|row| (row % 6) as f32 / 5.0).collect())),
                ("frame_index", integers(|row| row % 6)),
                ("episode_index", integers(|row| row / 6)),
                ("index", integers(|row| row)),
            ])
        });
        let folder = tempfile::tempdir().unwrap();
        Self { folder, info, episodes: named(episodes), data, video: VIDEO.to_vec() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn info_file(&self) -> PathBuf {
        self.root().join("meta/info.json")
    }

    pub(crate) fn episodes_file(&self) -> PathBuf {
        self.root().join("meta/episodes/chunk-000/file-000.parquet")
    }

    pub(crate) fn data_file(&self, file: usize) -> PathBuf {
        self.root().join(format!("data/chunk-000/file-{file:03}.parquet"))
    }

    pub(crate) fn video_file(&self, file: usize) -> PathBuf {
        self.root().join(format!("videos/camera/chunk-000/file-{file:03}.mp4"))
    }

    /// Writes all files.
    pub(crate) fn write(self) -> Self {
        write_parquet(&self.episodes_file(), &self.episodes);
        std::fs::write(self.info_file(), self.info.to_string()).unwrap();
        for (file, data) in self.data.iter().enumerate() {
            write_parquet(&self.data_file(file), data);
            std::fs::create_dir_all(self.video_file(file).parent().unwrap()).unwrap();
            std::fs::write(self.video_file(file), &self.video).unwrap();
        }
        self
    }

    /// Opens the set and decodes `split` into clips of `frames` frames.
    pub(crate) fn load(&self, split: &str, frames: usize) -> Result<EpisodeClips, Error> {
        load(&LeRobot::open(self.root())?, split, &options(frames))
    }
}

/// Decodes a split.
pub(crate) fn load(dataset: &dyn Dataset, split: &str, options: &ClipOptions) -> Result<EpisodeClips, Error> {
    EpisodeClips::load(dataset, &Run::whole(dataset, &dataset.split(split)?)?, options, &mut |_, _| {})
}

/// Whole frames in full size.
pub(crate) fn options(frames: usize) -> ClipOptions {
    ClipOptions { camera: None, frames, frame_stride: 1, rate: None, region: Region::FULL, store: 128 }
}

/// Replaces or, with `None`, removes a column.
pub(crate) fn set(columns: &mut Columns, name: &str, column: Option<Column>) {
    let place = columns.iter().position(|(found, _)| found == name).unwrap();
    match column {
        Some(column) => columns[place].1 = column,
        None => drop(columns.remove(place)),
    }
}

fn named<const N: usize>(columns: [(&str, Column); N]) -> Columns {
    columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()
}
