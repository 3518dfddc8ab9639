//! The sets that `fixtures/lerobot_sets.py` wrote with the LeRobot package, and what is in them.

use std::path::Path;

use tempfile::TempDir;

/// Written by LeRobot 0.3.3.
pub(crate) const V21: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lerobot_v21");
/// Written by LeRobot 0.4.4.
pub(crate) const V30: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lerobot_v30");

/// Frames of each episode.
pub(crate) const LENGTHS: [usize; 3] = [5, 4, 6];

/// Copies a set where a test can change it.
pub(crate) fn copy(set: &str) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            match from.is_dir() {
                true => copy(&from, &to.join(name)),
                false => std::fs::write(to.join(name), std::fs::read(&from).unwrap()).unwrap(),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(set), folder.path());
    folder
}

/// The picture of camera `wrist`.
pub(crate) fn wrist(episode: usize, frame: usize) -> Vec<u8> {
    let pixel = |at: usize| {
        let (y, x) = (at / 47, at % 47);
        [7 * x + 31 * frame, 5 * y + 60 * episode, x * y].map(|value| (value % 256) as u8)
    };
    (0..33 * 47).flat_map(pixel).collect()
}
