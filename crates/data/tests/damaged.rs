//! Hostile bytes: whatever is cut off or flipped, reading ends in a result, never in a panic.

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use cola_data::{Error, VideoFile, View};
use proptest::prelude::*;
use support::Toy;

/// Cuts `file` and flips bits in it, reads it, and puts the file back.
fn damage(file: PathBuf, kept: f64, flips: &[(f64, u8)], read: impl FnOnce()) {
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole[..(kept * whole.len() as f64) as usize].to_vec();
    let length = bytes.len() as f64;
    for &(place, bit) in flips {
        if let Some(byte) = bytes.get_mut((place * length) as usize) {
            *byte ^= 1 << bit;
        }
    }
    std::fs::write(&file, bytes).unwrap();
    // A flip in a picture may go unnoticed; that it ends here is the claim.
    read();
    std::fs::write(&file, whole).unwrap();
}

/// Reads the set with a damaged file.
fn read_damaged(toy: &Toy, file: PathBuf, kept: f64, flips: &[(f64, u8)]) {
    damage(file, kept, flips, || drop(toy.load("train", 2)));
}

/// One bit somewhere, or several.
fn flips() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0f64, 0..8u8), 1..6)
}

/// All of the file, or its first part.
fn kept() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 0.0..1.0f64]
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
