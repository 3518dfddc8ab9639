//! A save that is stopped anywhere: the older checkpoint always loads.

use std::path::Path;

use cola_coevolve::{Run, checkpoint};
use cola_files::faults::{Plan, count, inject};

use crate::runs::{assert_same, bytes, fresh, newest, resumed};

/// A run with a checkpoint after 2 of its 4 steps, and the course of an undisturbed one.
struct Scene {
    root: tempfile::TempDir,
    config: cola_coevolve::ExperimentConfig,
}

impl Scene {
    fn new(keep: usize) -> Self {
        let mut config = crate::support::config("LAM4");
        config.data.workers = 0; // faults belong to one thread
        (config.schedule.log_every, config.schedule.checkpoint_every, config.schedule.keep) = (2, 2, keep);
        config.schedule.sensitivity_every = 0;
        Self { root: tempfile::tempdir().expect("a folder"), config }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// A fresh copy of the folder as it is after the first checkpoint.
    fn half_done(&self, name: &str) -> std::path::PathBuf {
        let source = self.path("half");
        if !source.exists() {
            let mut config = self.config.clone();
            config.plan = "LAM2".parse().expect("a plan");
            let (mut run, clips) = fresh(&config);
            run.train(&clips, None, &source, &mut []).expect("training");
            // The same run, told of two more steps.
            let step = checkpoint::list(&source).pop().expect("a checkpoint");
            retell(&step, &self.config);
        }
        let target = self.path(name);
        copy(&source, &target);
        target
    }
}

/// Stores another plan with a checkpoint, checksum included.
fn retell(folder: &Path, config: &cola_coevolve::ExperimentConfig) {
    let text = config.to_toml().expect("TOML");
    std::fs::write(folder.join("config.toml"), &text).expect("a file");
    let file = folder.join("state.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    state["files"]["config.toml"] =
        serde_json::json!({ "bytes": text.len(), "crc32c": crc32c::crc32c(text.as_bytes()) });
    let text = state.to_string();
    std::fs::write(&file, &text).expect("a file");
    std::fs::write(folder.join("state.crc"), format!("{:08x}", crc32c::crc32c(text.as_bytes())))
        .expect("a file");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Stops the second save at each of its operations, a torn write included; each time the first checkpoint or the second
/// one loads, and going on from it ends in the bits of an undisturbed run.
fn crash_at_every_operation(keep: usize) {
    let scene = Scene::new(keep);
    let folder = scene.half_done("through");
    let clips = crate::support::clips(3);
    let mut run = resumed(&folder);
    let (trained, operations) = count(|| run.train(&clips, None, &folder, &mut []).map_err(Box::new));
    trained.expect("training");
    let expected = newest(&folder);
    assert!(operations > 30, "only {operations} operations in a run with a save");

    let mut older = 0;
    for at in 1..=operations {
        let folder = scene.half_done(&format!("crash-{at}"));
        let first = bytes(&folder.join("step-00000002"));
        let mut run = resumed(&folder);
        let disk = inject(Plan::die_at(at));
        let result = run.train(&clips, None, &folder, &mut []);
        drop(disk);
        drop(run);
        // The last operations tidy up behind a finished save, and some of them nobody waits for.
        let left = checkpoint::list(&folder);
        assert!(!left.is_empty(), "operation {at}: no checkpoint left ({result:?})");
        let mut again: Run = resumed(&folder);
        assert!(again.passed_over().is_empty(), "operation {at}: {:?}", again.passed_over());
        if again.step() == 2 {
            older += 1;
            assert_same(&bytes(&folder.join("step-00000002")), &first, &format!("operation {at}"));
        }
        again.train(&clips, None, &folder, &mut []).expect("training");
        assert_same(&newest(&folder), &expected, &format!("operation {at}"));
        let names: Vec<String> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("step-"))
            .collect();
        assert_eq!(names.len(), keep.min(2), "operation {at} left {names:?}");
        std::fs::remove_dir_all(&folder).expect("room");
    }
    assert!(older > 20 && older < operations, "{older} of {operations} crashes before the second checkpoint");
}

#[test]
fn crash_during_save_at_every_write_sync_and_rename() {
    crash_at_every_operation(2);
}

#[test]
fn crash_during_save_that_replaces_the_only_checkpoint() {
    crash_at_every_operation(1);
}
