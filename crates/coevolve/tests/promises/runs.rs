//! Runs that are watched, stopped and compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use cola_coevolve::{Divergence, Error, ExperimentConfig, HeldOut, Observer, Phase, Record, Run, checkpoint};
use cola_data::ClipSource;

/// Every byte of a checkpoint, by file.
pub(crate) fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).expect("a checkpoint").map(|entry| entry.expect("an entry").path());
    files
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect()
}

/// The newest checkpoint's bytes.
pub(crate) fn newest(root: &Path) -> BTreeMap<String, Vec<u8>> {
    bytes(checkpoint::list(root).last().expect("a checkpoint"))
}

/// Says which files differ; their bytes would fill pages.
pub(crate) fn assert_same(
    found: &BTreeMap<String, Vec<u8>>,
    expected: &BTreeMap<String, Vec<u8>>,
    what: &str,
) {
    assert!(found.keys().eq(expected.keys()), "{what}: {:?} and {:?}", found.keys(), expected.keys());
    let differ: Vec<&String> =
        expected.iter().filter(|(name, bytes)| found[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{what}: {differ:?} differ");
}

/// Records, skips and checkpoints of a run, which it asks to stop after a step.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) stop_at: Option<u64>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Steps of the run that were told.
    pub(crate) steps: u64,
    /// Flow loss or reconstruction error of each.
    pub(crate) losses: Vec<f64>,
    pub(crate) records: Vec<Record>,
    pub(crate) skips: Vec<Divergence>,
}

impl Watcher {
    pub(crate) fn stopping_at(step: u64) -> Self {
        Self { stop_at: Some(step), ..Self::default() }
    }
}

impl Observer for Watcher {
    fn on_phase(&mut self, _phase: &Phase, _done: u64, global: u64) -> Result<(), Error> {
        self.steps = global;
        Ok(())
    }

    fn on_step(&mut self, _phase: &Phase, _done: u64, loss: f64) -> Result<(), Error> {
        self.steps += 1;
        self.losses.push(loss);
        if self.stop_at == Some(self.steps) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn on_skip(&mut self, _phase: &Phase, divergence: &Divergence) -> Result<(), Error> {
        self.steps += 1;
        self.skips.push(divergence.clone());
        Ok(())
    }

    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        self.records.push(record.clone());
        Ok(())
    }
}

/// A fresh run over the drawn clips.
pub(crate) fn fresh(config: &ExperimentConfig) -> (Run, Arc<dyn ClipSource>) {
    let clips = crate::support::clips(config.data.frames);
    let run = Run::new(config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    (run, clips)
}

/// Held-out clips for the sensitivity curve.
pub(crate) fn held_out(config: &ExperimentConfig) -> HeldOut {
    let clips = crate::support::clips(config.data.frames);
    HeldOut::new(&*clips, 16, config, &Device::Cpu).expect("held-out clips")
}

/// The run at its newest whole checkpoint.
pub(crate) fn resumed(root: &Path) -> Run {
    Run::resume(root, &Device::Cpu).expect("a checkpoint")
}
