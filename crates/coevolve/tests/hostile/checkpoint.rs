//! Checkpoint folders of which one file was made worse.

use std::path::{Path, PathBuf};

use candle_core::Device;
use cola_coevolve::{Run, checkpoint};
use rand::Rng;

use crate::allocation::{Taken, alone, bounded};
use crate::mutate::{case, mutate};

/// Inputs of this file's tests; with those of `config.rs` there are 10,000.
const CASES: u64 = 6000;

/// Every file of a checkpoint, by path.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a checkpoint");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
        .collect();
    files.sort();
    files
}

/// A checkpoint below `root` after each phase's only steps, without checksums: they would refuse nearly every change before
/// anything is read.
pub(crate) fn unsealed(root: &Path) -> PathBuf {
    crate::support::train(&crate::support::config("LAM2+WARM2"), root);
    let folder = checkpoint::list(root).pop().expect("a checkpoint");
    let file = folder.join("state.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("the state")).expect("JSON");
    (state["format"], state["files"]) = (1.into(), serde_json::json!({}));
    std::fs::write(&file, state.to_string()).expect("the state");
    for older in checkpoint::list(root).into_iter().filter(|older| *older != folder) {
        std::fs::remove_dir_all(older).expect("an older checkpoint");
    }
    folder
}

#[test]
fn a_mutated_checkpoint_never_panics_and_takes_bounded_memory() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = unsealed(root.path());
    let sound = files(&folder);
    let whole: usize = sound.iter().map(|(_, bytes)| bytes.len()).sum();
    let _alone = alone();
    let (mut refused, mut most) = (0, Taken::default());
    for number in 0..CASES {
        let mut rng = case("hostile checkpoint", number);
        // Texts twice as often as tensors: more of their bytes mean something.
        let is_text = |path: &Path| path.extension().is_none_or(|ending| ending != "safetensors");
        let chosen: Vec<_> = sound.iter().chain(sound.iter().filter(|(path, _)| is_text(path))).collect();
        let (path, bytes) = chosen[rng.random_range(0..chosen.len())];
        let other = &sound[rng.random_range(0..sound.len())].1;
        let mutated = mutate(bytes, other, &mut rng);
        std::fs::write(path, &mutated).expect("the folder");
        let name = format!("case {number}, {}", path.display());
        let (opened, taken) = bounded(&name, whole + mutated.len(), || {
            match number % 4 {
                0 => Run::resume(root.path(), &Device::Cpu),
                _ => Run::open(&folder, &Device::Cpu),
            }
            .map(drop)
            .map_err(|error| error.to_string())
        });
        refused += usize::from(opened.is_err());
        most = most.max(taken);
        std::fs::write(path, bytes).expect("the folder");
    }
    println!("{refused} of {CASES} refused, {most:?} at most, {whole} bytes a checkpoint");
    // Changes of a number or of a comment may be fine; most changes are not.
    assert!(refused * 2 > CASES as usize, "{refused} of {CASES} were refused");
    Run::open(&folder, &Device::Cpu).expect("everything is as it was");
}
