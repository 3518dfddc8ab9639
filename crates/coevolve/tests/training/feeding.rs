//! Batches on the way to training: the number of workers changes no bit, broken clips are told, no thread is left.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use cola_coevolve::{Error, ExperimentConfig, Observer, Phase, Run};
use cola_data::{ClipSource, Failure, Stall};

use crate::support::{Damaged, EVERY_PHASE, clips, config, decided};

/// What the ends of phases tell; stops at a step if it is told to.
#[derive(Default)]
struct Ends {
    stop_at: Option<u64>,
    steps: u64,
    phases: Vec<(String, Stall, Vec<Failure>)>,
}

impl Observer for Ends {
    fn on_step(&mut self, _phase: &Phase, _done: u64, _loss: f64) -> Result<(), Error> {
        self.steps += 1;
        match self.stop_at == Some(self.steps) {
            true => Err(Error::Observer("stopped by the test".into())),
            false => Ok(()),
        }
    }

    fn on_phase_end(&mut self, phase: &Phase, stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        self.phases.push((phase.to_string(), *stall, failures.to_vec()));
        Ok(())
    }
}

fn train(
    config: &ExperimentConfig,
    clips: &Arc<dyn ClipSource>,
    folder: &Path,
    ends: &mut Ends,
) -> Result<(), Box<Error>> {
    let mut run = Run::new(config, &Device::Cpu)?;
    run.fit_codec(clips)?;
    run.train(clips, None, folder, &mut [ends])?;
    Ok(())
}

#[test]
fn the_number_of_workers_changes_no_bit_and_each_phase_tells_its_waiting() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = config(EVERY_PHASE);
    let mut expected = None;
    for workers in [0, 1, 3] {
        config.data.workers = workers;
        let folder = root.path().join(workers.to_string());
        let mut ends = Ends::default();
        train(&config, &clips(3), &folder, &mut ends).expect("training");
        let told: Vec<_> =
            ends.phases.iter().map(|(phase, stall, _)| (phase.as_str(), stall.batches)).collect();
        assert_eq!(told, [("PRE4", 4), ("LAM8", 8), ("WARM8", 8), ("E2E8", 8), ("WM4", 4)]);
        assert!(
            ends.phases.iter().all(|(_, stall, failures)| stall.waited < stall.total && failures.is_empty())
        );
        let found = decided(&folder);
        assert_eq!(&found, expected.get_or_insert_with(|| found.clone()), "{workers} workers");
    }
}

#[test]
fn a_run_that_ends_early_leaves_no_thread_with_its_clips() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = config("LAM400");
    config.data.workers = 4;
    let clips = clips(3);
    let mut ends = Ends { stop_at: Some(3), ..Ends::default() };
    train(&config, &clips, root.path(), &mut ends).expect_err("it was to stop");
    assert_eq!(Arc::strong_count(&clips), 1);
}

#[test]
fn a_broken_clip_ends_the_run_or_is_replaced_and_told() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = config("LAM8+WARM8");
    let damaged: Arc<dyn ClipSource> = Arc::new(Damaged { clips: clips(3), broken: vec![9] });
    let error = train(&config, &damaged, root.path(), &mut Ends::default()).expect_err("clip 9");
    assert!(matches!(*error, Error::Data(cola_data::Error::Read { .. })), "{error}");

    config.data.budget = 1;
    let mut ends = Ends::default();
    train(&config, &damaged, root.path(), &mut ends).expect("one broken clip is put up with");
    let (_, _, failures) = ends.phases.last().expect("a phase");
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].clip, failures[0].message.contains("clip-9.mp4")), (9, true), "{failures:?}");
}

#[test]
fn a_configuration_stored_without_workers_and_budget_has_the_usual_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let text = config("LAM4").to_toml().expect("text");
    assert!(text.contains("workers = 1\n") && text.contains("budget = 0\n"));
    std::fs::write(&file, text.replace("workers = 1\n", "").replace("budget = 0\n", "")).expect("a file");
    let found = ExperimentConfig::read(&file).expect("a configuration");
    assert_eq!((found.data.workers, found.data.budget), (1, 0));

    let error = found.with("data.workers=100000").expect_err("so many threads");
    assert!(error.to_string().contains("data.workers: found 100000"), "{error}");
    let more = found.with("data.workers=4").expect("four").deviations().expect("text");
    assert_eq!(more, found.deviations().expect("text"), "workers are no deviation from the paper");
}
