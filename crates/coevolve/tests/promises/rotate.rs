//! Which checkpoints stay.

use std::path::Path;

use cola_coevolve::{Run, checkpoint};

use crate::runs::{Watcher, assert_same, fresh, newest, resumed};

fn steps(root: &Path) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    checkpoint::list(root).into_iter().map(name).collect()
}

/// Flips one bit in the middle of a file.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(file, bytes).expect("a file");
}

/// With two checkpoints kept, the newest damaged on the disk, and a save at a step before it: the good one stays, the
/// damaged one is set aside, and the end is that of an undisturbed run.
#[test]
fn rotate_keeps_last_good() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = crate::support::config("LAM12");
    config.schedule.keep = 2;
    let (mut run, clips) = fresh(&config);
    let through = root.path().join("through");
    run.train(&clips, None, &through, &mut []).expect("training");
    assert_eq!(steps(&through), ["step-00000008", "step-00000012"]);

    let folder = root.path().join("damaged");
    let (mut run, _) = fresh(&config);
    let mut watcher = Watcher::stopping_at(8);
    run.stop_when(watcher.stop.clone());
    run.train(&clips, None, &folder, &mut [&mut watcher]).expect_err("a stop");
    assert_eq!(steps(&folder), ["step-00000004", "step-00000008"]);
    flip(&folder.join("step-00000008/optimizer.safetensors"));
    let error = checkpoint::verify(&folder.join("step-00000008")).expect_err("a flipped bit");
    assert!(error.to_string().contains("CRC-32C") && error.to_string().contains("optimizer.safetensors"));

    let mut run = resumed(&folder);
    assert_eq!((run.step(), run.passed_over().len()), (4, 1));
    let (passed, why) = &run.passed_over()[0];
    assert!(passed.ends_with("step-00000008") && why.to_string().contains("takes the one before"), "{why}");
    // A save between the good and the damaged one must not push the good one out before it is safe itself.
    let mut watcher = Watcher::stopping_at(5);
    run.stop_when(watcher.stop.clone());
    run.train(&clips, None, &folder, &mut [&mut watcher]).expect_err("a stop");
    assert_eq!(steps(&folder), ["step-00000004", "step-00000005"]);
    assert!(folder.join("passed-over-step-00000008/state.json").is_file(), "nothing is thrown away");
    for path in checkpoint::list(&folder) {
        checkpoint::verify(&path).expect("a good checkpoint");
    }
    resumed(&folder).train(&clips, None, &folder, &mut []).expect("training");
    assert_same(&newest(&folder), &newest(&through), "after a damaged checkpoint");
}

#[test]
fn rotate_keeps_last_good_when_every_file_of_the_newest_is_damaged_in_turn() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = crate::support::config("LAM8");
    config.schedule.keep = 2;
    crate::support::train(&config, root.path());
    let newest = checkpoint::list(root.path()).pop().expect("a checkpoint");
    let mut tried = 0;
    for entry in std::fs::read_dir(&newest).expect("a folder") {
        let file = entry.expect("an entry").path();
        let whole = std::fs::read(&file).expect("a file");
        let mut flipped = whole.clone();
        // In a text a digit for another digit: what only a checksum can tell.
        let digit = flipped.iter().rposition(u8::is_ascii_digit).unwrap_or(whole.len() / 2);
        flipped[digit] ^= 1;
        for spoilt in [Vec::new(), whole[..whole.len() / 2].to_vec(), flipped] {
            std::fs::write(&file, spoilt).expect("a file");
            assert_eq!(resumed(root.path()).step(), 4, "{}", file.display());
        }
        std::fs::remove_file(&file).expect("a file");
        assert_eq!(resumed(root.path()).step(), 4, "{} is gone", file.display());
        std::fs::write(&file, whole).expect("a file");
        tried += 1;
    }
    assert!(tried >= 10, "{tried} files");
    assert_eq!(Run::resume(root.path(), &candle_core::Device::Cpu).expect("whole again").step(), 8);
}
