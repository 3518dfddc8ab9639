//! Resuming equals never stopping; same seed, same bits; another process reads what one wrote.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use candle_core::Device;
use cola_coevolve::{Error, ExperimentConfig, HeldOut, Observer, Phase, Record, Run, checkpoint};

/// Every byte of a checkpoint, by file.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .expect("a checkpoint")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect()
}

fn newest(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    bytes(checkpoint::list(folder).last().expect("a checkpoint"))
}

/// Stops a run after so many steps, as a crash would: whatever came after the last checkpoint is lost.
struct StopAfter {
    left: u64,
    records: Vec<Record>,
}

impl Observer for StopAfter {
    fn on_step(&mut self, _phase: &Phase, _done: u64, _loss: f64) -> Result<(), Error> {
        if self.left == 0 {
            return Err(Error::Observer("stopped by the test".into()));
        }
        self.left -= 1;
        Ok(())
    }

    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        self.records.push(record.clone());
        Ok(())
    }
}

/// Trains `config` through, then again with a stop and a resume at each of `stops`: parameters, moments, state and
/// records must be the same bits.
pub(crate) fn resuming_equals_never_stopping(config: &ExperimentConfig, stops: &[u64]) {
    let clips = crate::support::clips(3);
    let held_out =
        HeldOut::new(&*crate::support::clips(3), 16, config, &Device::Cpu).expect("held-out clips");
    let root = tempfile::tempdir().expect("a folder");
    let through = root.path().join("through");
    let mut watcher = StopAfter { left: u64::MAX, records: Vec::new() };
    let mut run = Run::new(config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    run.train(&clips, Some(&held_out), &through, &mut [&mut watcher]).expect("training");
    let (expected, records) = (newest(&through), watcher.records);

    for &stop in stops {
        let folder = root.path().join(format!("stop-{stop}"));
        let mut run = Run::new(config, &Device::Cpu).expect("a run");
        run.fit_codec(&clips).expect("a codec");
        let mut first = StopAfter { left: stop, records: Vec::new() };
        run.train(&clips, Some(&held_out), &folder, &mut [&mut first]).expect_err("it was to stop");
        drop(run);
        let mut run = Run::resume(&folder, &Device::Cpu).expect("a checkpoint");
        let resumed_at = run.step();
        assert!(resumed_at <= stop && resumed_at + config.schedule.checkpoint_every > stop, "{resumed_at}");
        let mut second = StopAfter { left: u64::MAX, records: Vec::new() };
        run.train(&clips, Some(&held_out), &folder, &mut [&mut second]).expect("training");
        assert_eq!(newest(&folder), expected, "stopped after step {stop}");
        let mut joined: Vec<Record> = first.records.into_iter().filter(|r| r.step <= resumed_at).collect();
        joined.extend(second.records);
        assert_eq!(joined, records, "records of the run stopped after step {stop}");
    }
}

#[test]
fn resuming_in_the_middle_of_each_phase_equals_never_stopping() {
    // 4, 12, 20 and 28 end phases; these steps lie inside PRE, LAM, WARM (held and not), E2E and WM.
    let config = crate::support::config(crate::support::EVERY_PHASE);
    resuming_equals_never_stopping(&config, &[5, 10, 13, 18, 26, 30]);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let root = tempfile::tempdir().expect("a folder");
    let config = crate::support::config("LAM4+WARM4+E2E4");
    let bits = |name: &str, seed: u64| {
        let mut config = config.clone();
        config.seed = seed;
        let folder = root.path().join(name);
        crate::support::train(&config, &folder);
        newest(&folder)
    };
    let first = bits("first", 3);
    assert_eq!(first, bits("again", 3));
    assert_ne!(first["lam.safetensors"], bits("other", 4)["lam.safetensors"]);
}

/// The variable through which the next test tells its child process which checkpoint to open.
const CHECKPOINT: &str = "COLA_TEST_CHECKPOINT";

#[test]
fn a_checkpoint_opens_in_another_process() {
    if let Ok(folder) = std::env::var(CHECKPOINT) {
        let run = Run::open(Path::new(&folder), &Device::Cpu).expect("the parent's checkpoint");
        assert_eq!(run.step(), 6);
        run.params().save(Path::new(&folder).parent().expect("a parent")).expect("a copy");
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    crate::support::train(&crate::support::config("LAM2+WARM2+E2E2"), root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "resume::a_checkpoint_opens_in_another_process"])
        .env(CHECKPOINT, &folder)
        .output()
        .expect("a child process");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    for set in ["lam", "fdm", "action", "backbone", "codec"] {
        let file = format!("{set}.safetensors");
        let copy = std::fs::read(root.path().join(&file)).expect("the child's copy");
        assert_eq!(copy, std::fs::read(folder.join(&file)).expect("the original"), "{file}");
    }
}

#[test]
fn old_checkpoints_are_removed_and_unfinished_ones_ignored() {
    let root = tempfile::tempdir().expect("a folder");
    let config = crate::support::config("LAM12");
    std::fs::create_dir_all(root.path().join(".step-00000099.part")).expect("an unfinished checkpoint");
    std::fs::create_dir_all(root.path().join("step-00000098")).expect("a folder without state");
    crate::support::train(&config, root.path());
    let names: Vec<String> = checkpoint::list(root.path())
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["step-00000008", "step-00000012"]);
}
