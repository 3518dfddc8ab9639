//! Hostile bytes: whatever is cut off or flipped, reading ends in a result, never in a panic.

#[path = "support/damage.rs"]
mod damage;
mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use cola_data::{Error, VideoFile, View};
use damage::{damage, flips, kept};
use proptest::prelude::*;
use support::Toy;

/// Reads the set with a damaged file.
fn read_damaged(toy: &Toy, file: PathBuf, kept: f64, flips: &[(f64, u8)]) {
    damage(file, kept, flips, || drop(toy.load("train", 2)));
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
    fn damaged_plain_videos_never_panic(kept in kept(), flips in flips()) {
        static TOY: LazyLock<Toy> = LazyLock::new(|| Toy::new().write());
        damage(TOY.video_file(0), kept, &flips, || {
            let Ok(video) = VideoFile::open(&TOY.video_file(0)) else { return };
            let view = View { height: 8, width: 8, ..video.full_view() };
            drop(video.read(0..video.frames(), &view, 5, |_, _| Ok::<(), Error>(())));
        });
    }
}
