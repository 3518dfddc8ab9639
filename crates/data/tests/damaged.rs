//! Hostile bytes: whatever is cut off or flipped, reading ends in a result, never in a panic.

#[path = "support/damage.rs"]
mod damage;
mod support;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cola_data::{Dataset, Error, LeRobot, OpenOptions, VideoFile, Videos, View};
use damage::{damage, flips, kept};
use proptest::prelude::*;
use support::{Column, Toy, set};
use tempfile::TempDir;

/// Reads the set with a damaged file.
fn read_damaged(toy: &Toy, file: PathBuf, kept: f64, flips: &[(f64, u8)]) {
    damage(file, kept, flips, || drop(toy.load("train", 2)));
}

/// Decodes a whole video.
fn read_all(file: &Path) -> Result<(), Error> {
    let video = VideoFile::open(file)?;
    let view = View { height: 8, width: 8, ..video.full_view() };
    video.read(0..video.frames(), &view, 5, |_, _| Ok(()))
}

/// A copy of a test video in a folder of its own.
struct Copied(TempDir);

impl Copied {
    fn new(name: &str) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        std::fs::copy(data.join(name), copy.file()).unwrap();
        copy
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("film.mp4")
    }
}

#[test]
fn repeated_rows_are_counted_before_anything_is_kept_of_them() {
    let mut toy = Toy::new();
    for (name, value) in [("index", 6), ("episode_index", 1), ("frame_index", 0)] {
        set(&mut toy.data[0], name, Some(Column::Integers(vec![value; 12])));
    }
    // Would be missed only after that.
    set(&mut toy.data[0], "timestamp", None);
    let toy = toy.write();
    let error = LeRobot::open(toy.root()).unwrap().rows(&[1]).unwrap_err().to_string();
    assert!(error.contains("file-000.parquet") && error.contains("12 rows or more"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_info_never_panics(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        read_damaged(&TOY, TOY.info_file(), kept, &flips);
    }

    #[test]
    fn damaged_episode_tables_never_panic(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        read_damaged(&TOY, TOY.episodes_file(), kept, &flips);
    }

    #[test]
    fn damaged_rows_never_panic(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        read_damaged(&TOY, TOY.data_file(0), kept, &flips);
    }

    #[test]
    fn damaged_videos_never_panic(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        read_damaged(&TOY, TOY.video_file(0), kept, &flips);
    }

    #[test]
    fn damaged_videos_of_many_b_frames_never_panic(kept in kept(), flips in flips()) {
        static COPY: LazyLock<Copied> = LazyLock::new(|| Copied::new("h264_pyramid.mp4"));
        damage(COPY.file(), kept, &flips, || drop(read_all(&COPY.file())));
    }

    #[test]
    #[cfg(feature = "av1")]
    fn damaged_av1_videos_never_panic(kept in kept(), flips in flips()) {
        static COPY: LazyLock<Copied> = LazyLock::new(|| Copied::new("av1_hidden.mp4"));
        damage(COPY.file(), kept, &flips, || drop(read_all(&COPY.file())));
    }

    #[test]
    fn damaged_manifests_never_panic(kept in kept(), flips in flips()) {
        static COPY: LazyLock<Copied> = LazyLock::new(|| {
            let copy = Copied::new("one_frame.mp4");
            let list = "path,start,end,split,text\nfilm.mp4,0,1,train,\"a, \"\"b\"\"\"\nfilm.mp4,,,valid,c\n";
            std::fs::write(copy.0.path().join("manifest.csv"), list).unwrap();
            copy
        });
        let list = COPY.0.path().join("manifest.csv");
        damage(list, kept, &flips, || drop(Videos::open(COPY.0.path(), &OpenOptions::default())));
    }

    #[test]
    fn damaged_plain_videos_never_panic(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        damage(TOY.video_file(0), kept, &flips, || drop(read_all(&TOY.video_file(0))));
    }
}
