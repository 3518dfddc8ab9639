//! Clips that cannot be read: replaced and told up to a stated number, then the run ends with everything before it safe.

use std::sync::Arc;

use candle_core::Device;
use cola_coevolve::{Error, Observer, Phase, Run, checkpoint};
use cola_data::{ClipSource, Failure, Stall};

use crate::runs::{assert_same, newest};
use crate::support::Damaged;

#[derive(Default)]
struct Told(Vec<Failure>);

impl Observer for Told {
    fn on_phase_end(&mut self, _phase: &Phase, _stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        self.0 = failures.to_vec();
        Ok(())
    }
}

#[test]
fn corrupt_sample_budget() {
    let root = tempfile::tempdir().expect("a folder");
    let clips = crate::support::clips(3);
    let damaged: Arc<dyn ClipSource> = Arc::new(Damaged { clips: clips.clone(), broken: vec![9, 30, 51] });
    let train = |name: &str, budget: usize, workers: usize| {
        let mut config = crate::support::config("LAM8");
        (config.data.budget, config.data.workers) = (budget, workers);
        config.schedule.checkpoint_every = 2;
        let mut run = Run::new(&config, &Device::Cpu).expect("a run");
        run.fit_codec(&clips).expect("a codec");
        let mut told = Told::default();
        let result = run.train(&damaged, None, &root.path().join(name), &mut [&mut told]);
        (result, told.0)
    };
    let (result, told) = train("enough", 3, 1);
    result.expect("three broken clips are put up with");
    let mut found: Vec<usize> = told.iter().map(|failure| failure.clip).collect();
    found.sort_unstable();
    assert_eq!(found, [9, 30, 51], "an epoch meets each of them");
    assert!(told.iter().all(|failure| failure.message.contains(&format!("clip-{}.mp4", failure.clip))));

    // The same clips stand in, whoever reads.
    train("again", 3, 0).0.expect("training");
    let parameters = |name: &str| {
        let mut files = newest(&root.path().join(name));
        files.retain(|name, _| name.ends_with(".safetensors"));
        files
    };
    assert_same(&parameters("enough"), &parameters("again"), "without workers");

    let (result, _) = train("short", 2, 1);
    let error = result.expect_err("the third is one too many");
    assert!(matches!(error, Error::Data(cola_data::Error::Broken { .. })), "{error}");
    for checkpoint in checkpoint::list(&root.path().join("short")) {
        Run::open(&checkpoint, &Device::Cpu).expect("what was saved before is safe");
    }
}
