//! The two-stage baseline, and runs that start from its latent action model.

use std::path::Path;

use candle_core::Device;
use cola_coevolve::{Error, Observer, Phase, Run, StoredLam, checkpoint};

fn lam_of(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("lam.safetensors")).expect("a file of parameters")
}

fn file_of(checkpoints: &[std::path::PathBuf], index: usize, name: &str) -> Vec<u8> {
    std::fs::read(checkpoints[index].join(name)).expect("a file of parameters")
}

/// Stops a run after so many steps.
struct StopAfter(u64);

impl Observer for StopAfter {
    fn on_step(&mut self, _phase: &Phase, _done: u64, _loss: f64) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| Error::Observer("stopped by the test".into()))?;
        Ok(())
    }
}

#[test]
fn the_second_stage_leaves_the_latent_action_model_alone_and_trains_the_world_model() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = crate::support::config("LAM8+WM8");
    config.schedule.keep = 10;
    crate::support::train(&config, root.path());
    let checkpoints = checkpoint::list(root.path()); // after steps 4, 8, 12, 16
    assert_eq!(checkpoints.len(), 4);
    assert_ne!(lam_of(&checkpoints[0]), lam_of(&checkpoints[1]), "stage one trains it");
    assert_eq!(lam_of(&checkpoints[1]), lam_of(&checkpoints[3]), "stage two does not");
    for set in ["backbone.safetensors", "action.safetensors"] {
        assert_eq!(file_of(&checkpoints, 0, set), file_of(&checkpoints, 1, set), "{set} in stage one");
        assert_ne!(file_of(&checkpoints, 1, set), file_of(&checkpoints, 3, set), "{set} in stage two");
    }
    let fdm = "fdm.safetensors";
    assert_eq!(file_of(&checkpoints, 1, fdm), file_of(&checkpoints, 3, fdm), "the forward model is done");
}

#[test]
fn a_joint_run_starts_from_the_first_stage_and_resumes_to_the_same_bits() {
    let root = tempfile::tempdir().expect("a folder");
    crate::support::train(&crate::support::config("LAM8"), &root.path().join("lam"));
    let stage = checkpoint::list(&root.path().join("lam")).pop().expect("a checkpoint");

    // Held for six steps: whatever changes before is not training, such as codes that are drawn anew.
    let mut config = crate::support::config("E2E12");
    (config.remedies.hold_lam, config.seed, config.schedule.keep) = (6, 5, 10);
    let clips = crate::support::clips(3);
    let start = || {
        let mut run = Run::new(&config, &Device::Cpu).expect("a run");
        run.fit_codec(&clips).expect("a codec");
        run.load_lam(&stage).expect("the first stage");
        run
    };
    let through = root.path().join("through");
    start().train(&clips, None, &through, &mut []).expect("training");
    let checkpoints = checkpoint::list(&through); // after steps 4, 8, 12
    assert_eq!(lam_of(&checkpoints[0]), lam_of(&stage), "codes and encoder of stage one");
    assert_ne!(lam_of(&checkpoints[1]), lam_of(&stage), "then it learns");

    let stopped = root.path().join("stopped");
    start().train(&clips, None, &stopped, &mut [&mut StopAfter(5)]).expect_err("it was to stop");
    let mut run = Run::resume(&stopped, &Device::Cpu).expect("a checkpoint");
    assert_eq!(run.step(), 4);
    run.train(&clips, None, &stopped, &mut []).expect("training");
    let resumed = checkpoint::list(&stopped);
    for name in ["lam.safetensors", "optimizer.safetensors", "state.json"] {
        assert_eq!(file_of(&resumed, 2, name), file_of(&checkpoints, 2, name), "{name}");
    }
}

#[test]
fn another_latent_action_model_is_refused_by_its_fields() {
    let root = tempfile::tempdir().expect("a folder");
    crate::support::train(&crate::support::config("LAM2"), root.path());
    let stage = checkpoint::list(root.path()).pop().expect("a checkpoint");
    // The same shapes, but another meaning.
    let config = crate::support::config("E2E2").with("lam.readout=mean").expect("a value");
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    let error = run.load_lam(&stage).expect_err("another read-out").to_string();
    assert!(
        error.contains("readout = difference (mean)") && error.contains("--set lam.KEY=VALUE"),
        "{error}"
    );
    let missing = run.load_lam(&root.path().join("nowhere")).expect_err("no folder").to_string();
    assert!(missing.contains("nowhere"), "{missing}");
}

#[test]
fn parameters_of_another_step_beside_a_state_are_noticed() {
    let root = tempfile::tempdir().expect("a folder");
    crate::support::train(&crate::support::config("LAM8"), root.path());
    let checkpoints = checkpoint::list(root.path());
    std::fs::copy(checkpoints[0].join("lam.safetensors"), checkpoints[1].join("lam.safetensors"))
        .expect("a copy");
    // Its checksum would find that first.
    crate::support::without_checksums(&checkpoints[1]);
    let error = Run::open(&checkpoints[1], &Device::Cpu).err().expect("a mix-up").to_string();
    assert!(error.contains("lam.version") && error.contains("lam.safetensors beside it"), "{error}");
    let stored = StoredLam::open(&checkpoints[1], &Device::Cpu).err().expect("a mix-up").to_string();
    assert_eq!(stored, error);
    let mut run = Run::new(&crate::support::config("E2E2"), &Device::Cpu).expect("a run");
    assert_eq!(run.load_lam(&checkpoints[1]).expect_err("a mix-up").to_string(), error);
}
