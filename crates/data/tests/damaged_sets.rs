//! Hostile bytes in LeRobot v2.1 sets and in pictures in rows: reading ends in a result, never in a panic.

#[path = "support/damage.rs"]
mod damage;
mod support;

use std::path::Path;
use std::sync::LazyLock;

use cola_data::{Dataset, Error, LeRobot, Region, Stretch, View};
use damage::{damage, flips, kept};
use proptest::prelude::*;
use support::sets::{V21, V30, copy};
use tempfile::TempDir;

/// Reads the rows and some pictures of every camera.
fn read(root: &Path) -> Result<(), Error> {
    let dataset = LeRobot::open(root)?;
    let view = View { region: Region::FULL, height: 8, width: 8 };
    drop(dataset.rows(&[0, 1]));
    for camera in dataset.cameras() {
        drop(dataset.read(&camera.key, &Stretch { episode: 0, frames: vec![0, 2] }, &view));
    }
    Ok(())
}

fn read_damaged(set: &TempDir, file: &str, kept: f64, flips: &[(f64, u8)]) {
    damage(set.path().join(file), kept, flips, || drop(read(set.path())));
}

#[test]
fn a_kilobyte_that_claims_millions_of_values_is_refused_before_they_are_written_out() {
    for bomb in ["many_rows", "many_values"] {
        let set = copy(V30);
        let bomb = format!("{}/tests/data/{bomb}.parquet", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(bomb, set.path().join("meta/tasks.parquet")).unwrap();
        let error = LeRobot::open(set.path()).err().unwrap();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {}", source.unwrap_or_default());
        assert!(text.contains("tasks.parquet") && text.contains("67108864"), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_v2_metadata_never_panic(kept in kept(), flips in flips(), file in 0..3usize) {
        static SET: LazyLock<TempDir> = LazyLock::new(|| copy(V21));
        let file = ["meta/info.json", "meta/episodes.jsonl", "meta/tasks.jsonl"][file];
        read_damaged(&SET, file, kept, &flips);
    }

    #[test]
    fn damaged_v2_rows_never_panic(kept in kept(), flips in flips()) {
        static SET: LazyLock<TempDir> = LazyLock::new(|| copy(V21));
        read_damaged(&SET, "data/chunk-000/episode_000000.parquet", kept, &flips);
    }

    #[test]
    fn damaged_v2_videos_never_panic(kept in kept(), flips in flips()) {
        static SET: LazyLock<TempDir> = LazyLock::new(|| copy(V21));
        read_damaged(&SET, "videos/chunk-000/observation.images.top/episode_000000.mp4", kept, &flips);
    }

    #[test]
    fn damaged_pictures_in_rows_never_panic(flips in flips()) {
        static SET: LazyLock<TempDir> = LazyLock::new(|| copy(V30));
        // The pictures of the first episode lie at the start of the file.
        let flips: Vec<_> = flips.into_iter().map(|(place, bit)| (place / 4.0, bit)).collect();
        read_damaged(&SET, "data/chunk-000/file-000.parquet", 1.0, &flips);
    }

    #[test]
    fn damaged_task_tables_never_panic(kept in kept(), flips in flips()) {
        static SET: LazyLock<TempDir> = LazyLock::new(|| copy(V30));
        read_damaged(&SET, "meta/tasks.parquet", kept, &flips);
    }
}
