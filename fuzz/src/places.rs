//! The targets: which file of which data set each of them replaces.

use std::path::Path;

use cola_data::{Format, OpenOptions};

use crate::runs;
use crate::sets::{self, Base};

/// A file that the fuzzer writes, in an otherwise sound data set.
pub(crate) struct Place {
    pub(crate) base: Base,
    /// The file, inside the data set.
    pub(crate) file: &'static str,
    pub(crate) reader: Reader,
    /// Test data of the crate that are good beginnings; the file itself is one too, where the set has it.
    pub(crate) seeds: &'static [&'static str],
    /// Other beginnings.
    pub(crate) texts: &'static [&'static str],
    /// Makes true what no mutation hits by chance, such as checksums.
    pub(crate) mend: Option<fn(root: &Path, bytes: &mut [u8])>,
}

/// What reads the file.
pub(crate) enum Reader {
    /// The reader of the whole data set.
    Set(OpenOptions),
    Exclusions,
    Mixture,
    /// What a run reads: its folder, the fuzzer's file there, and the file's bytes. The answer is an error's text.
    Run(fn(root: &Path, file: &Path, bytes: &[u8]) -> Result<(), String>),
}

impl Place {
    pub(crate) fn new(base: Base, file: &'static str) -> Self {
        let reader = Reader::Set(OpenOptions::default());
        Self { base, file, reader, seeds: &[], texts: &[], mend: None }
    }

    fn copy(set: &'static str, file: &'static str) -> Self {
        Self::new(Base::Copy(set), file)
    }

    fn format(self, format: Format) -> Self {
        let options = OpenOptions { format: Some(format), ..OpenOptions::default() };
        Self { reader: Reader::Set(options), ..self }
    }
}

const TOY_ARM: &str = "toy_arm-train.tfrecord-00000-of-00002";
const NESTED_ARM: &str = "nested_arm-train.tfrecord-00000-of-00002";

/// The places of a target.
pub(crate) fn of(target: &str) -> Vec<Place> {
    let lerobot = |set, file| Place::copy(set, file).format(Format::LeRobot);
    let film = |seeds| Place { seeds, ..Place::new(Base::Empty, "film.mp4").format(Format::Videos) };
    let rlds = |set, file| Place::copy(set, file).format(Format::Rlds);
    let records =
        |base, file| Place { mend: Some(sets::mend_records), ..Place::new(base, file).format(Format::Rlds) };
    match target {
        "lerobot_info" => {
            vec![lerobot("lerobot_v30", "meta/info.json"), lerobot("lerobot_v21", "meta/info.json")]
        }
        "lerobot_rows" => vec![
            lerobot("lerobot_v30", "data/chunk-000/file-000.parquet"),
            lerobot("lerobot_v21", "data/chunk-000/episode_000000.parquet"),
        ],
        "lerobot_episodes" => vec![
            lerobot("lerobot_v30", "meta/episodes/chunk-000/file-000.parquet"),
            lerobot("lerobot_v21", "meta/episodes.jsonl"),
            Place {
                seeds: &["many_rows.parquet", "many_values.parquet"],
                ..lerobot("lerobot_v30", "meta/tasks.parquet")
            },
            lerobot("lerobot_v21", "meta/tasks.jsonl"),
        ],
        "mp4_h264" => vec![film(&[
            "b_frames.mp4",
            "h264_pyramid.mp4",
            "h264_fragments.mp4",
            "one_frame.mp4",
            "variable_rate.mp4",
            "hdf5/agibot/observations/327/648642/videos/head_color.mp4",
        ])],
        "mp4_av1" => vec![film(&["av1_10_bit.mp4", "av1_full_range.mp4", "av1_hidden.mp4"])],
        "manifest" => vec![
            Place {
                texts: &[
                    "path,start,end,split,text\nfilm.mp4,0,1,train,\"a, \"\"b\"\"\"\nfilm.mp4,,,valid,c\n",
                    "path,start_frame,end_frame\nfilm.mp4,1,3\nfilm.mp4,3,9\n",
                ],
                ..Place::new(Base::Film, "manifest.csv").format(Format::Videos)
            },
            Place {
                texts: &[
                    "{\"path\": \"film.mp4\", \"start\": 0.5, \"end_frame\": 9, \"split\": \"train\"}\n",
                ],
                ..Place::new(Base::Film, "manifest.jsonl").format(Format::Videos)
            },
        ],
        // The format is found by looking into the file: robomimic or LIBERO.
        "hdf5" => vec![
            Place {
                seeds: &[
                    "hdf5/libero/open_the_drawer_demo.hdf5",
                    "hdf5/variants.hdf5",
                    "hdf5/tables.hdf5",
                    "hdf5/goals.hdf5",
                    "hdf5/unwritten.hdf5",
                    "hdf5/newest.hdf5",
                    "hdf5/zstd.hdf5",
                ],
                ..Place::new(Base::Empty, "demos.hdf5")
            },
            Place::copy("hdf5/agibot", "proprio_stats/327/648649/proprio_stats.h5").format(Format::AgiBot),
        ],
        "agibot_tasks" => {
            vec![Place::copy("hdf5/agibot", "task_info/task_327.json").format(Format::AgiBot)]
        }
        "tfrecord" => vec![
            records(Base::Copy("rlds/toy_arm/1.0.0"), TOY_ARM),
            records(Base::Copy("rlds/nested_arm/0.1.0"), NESTED_ARM),
            // The fields are found by looking into the first record.
            records(Base::Without("rlds/toy_arm/1.0.0", "features.json"), TOY_ARM),
        ],
        "rlds_features" => {
            vec![rlds("rlds/toy_arm/1.0.0", "features.json"), rlds("rlds/nested_arm/0.1.0", "features.json")]
        }
        "shards_index" => vec![Place::new(Base::Shards, "shards.json").format(Format::Shards)],
        "shards_header" => vec![Place {
            mend: Some(sets::mend_index),
            ..Place::new(Base::Shards, "shard-00000.safetensors").format(Format::Shards)
        }],
        "exclusions" => vec![Place {
            reader: Reader::Exclusions,
            texts: &[concat!(
                "{\"format\":\"cola-exclusions\",\"version\":1,\"episodes\":[",
                "{\"episode\":3,\"name\":\"episode 3\",\"frames\":[4,6],\"reason\":\"black pictures\"},",
                "{\"episode\":1,\"name\":\"episode 1\",\"frames\":null,\"reason\":\"missing\"}]}"
            )],
            ..Place::new(Base::Empty, "exclude.json")
        }],
        "mixture" => vec![Place {
            reader: Reader::Mixture,
            texts: &[concat!(
                "preset = \"paper\"\n[[group]]\nname = \"oxe\"\n[[group.source]]\nname = \"bridge\"\npath = \"b\"\n",
                "weight = 2.0\nrate = 5.0\nopen = { format = \"rlds\", action = \"action\" }\n",
                "region = { top = 0.0, left = 0.25, height = 1.0, width = 0.5 }\n",
                "[[group]]\nname = \"human\"\n[[group.source]]\nname = \"a\"\npath = \"a\"\nframe_stride = 3\n"
            )],
            ..Place::new(Base::Empty, "mixture.toml")
        }],
        run => runs::places_of(run),
    }
}
