//! Resuming equals never stopping, to the last bit: weights, moments, step counts, running average, codebook windows,
//! loader position, noise and records.

use cola_coevolve::{Error, ExperimentConfig};
use cola_nn::Params;

use crate::runs::{Watcher, assert_same, fresh, held_out, newest, resumed};

/// Everything that has a state is on: a running average, batches in parts, a codebook with a moving average, dead codes
/// that restart, warm-up of the rates, a loader with workers. An epoch of the 64 clips is 8 steps long.
fn config(plan: &str) -> ExperimentConfig {
    let values = [
        "optimizer.average=0.9",
        "data.accumulate=2",
        "optimizer.warmup=6",
        "lam.quantizer.update=\"ema\"",
        "data.workers=2",
    ];
    crate::support::config(plan).with_all(&values).expect("values")
}

/// Trains `plan` through, then again with a stop after each of `stops`, each time in a new process's place: from the disk.
fn resume_bit_exact(plan: &str, stops: &[u64]) {
    let config = config(plan);
    let held_out = held_out(&config);
    let root = tempfile::tempdir().expect("a folder");
    let through = root.path().join("through");
    let (mut run, clips) = fresh(&config);
    let mut whole = Watcher::default();
    run.train(&clips, Some(&held_out), &through, &mut [&mut whole]).expect("training");

    let folder = root.path().join("stopped");
    let mut records = Vec::new();
    let mut run = fresh(&config).0;
    for &stop in stops {
        let mut watcher = Watcher::stopping_at(stop);
        run.stop_when(watcher.stop.clone());
        let error = run.train(&clips, Some(&held_out), &folder, &mut [&mut watcher]).expect_err("a stop");
        assert!(matches!(error, Error::Stopped { step, .. } if step == stop), "{error}");
        records.extend(watcher.records);
        run = resumed(&folder);
        assert_eq!(run.step(), stop);
    }
    let mut last = Watcher::default();
    run.train(&clips, Some(&held_out), &folder, &mut [&mut last]).expect("training");
    records.extend(last.records);
    assert_same(&newest(&folder), &newest(&through), &format!("{plan} stopped after {stops:?}"));
    assert_eq!(records, whole.records);
    let moments = newest(&folder).remove("optimizer.safetensors").expect("moments");
    let names = String::from_utf8_lossy(&moments);
    assert!(names.contains("average.backbone.") && names.contains("first.lam."), "not all states were there");
}

/// Between two records, inside an epoch of the loader.
#[test]
fn resume_bit_exact_mid_epoch() {
    resume_bit_exact("LAM10+WARM5+E2E5", &[3, 13]);
}

/// After the last batch of an epoch.
#[test]
fn resume_bit_exact_epoch_end() {
    resume_bit_exact("LAM10+WARM8+E2E4", &[8, 16]);
}

/// After the last step of the warm-up, and after the first of joint training, when the backbone has moments for the first
/// time.
#[test]
fn resume_bit_exact_warmup_to_e2e_boundary() {
    resume_bit_exact("LAM4+WARM5+E2E5", &[8, 9, 10]);
}

#[test]
fn resume_bit_exact_warmup_to_e2e_boundary_of_a_backbone_trained_before() {
    let config = config("PRE4+WARM4+E2E4");
    let root = tempfile::tempdir().expect("a folder");
    let (mut run, clips) = fresh(&config);
    run.train(&clips, None, &root.path().join("through"), &mut []).expect("training");
    // The counts of its own warm-up begin anew at the unfreezing.
    let count = |set: &str, params: &Params| {
        let name = params.vars().pop().expect("a variable").0;
        run.updates(&format!("{set}.{name}"))
    };
    assert_eq!((count("backbone", &run.params().backbone), count("action", &run.params().action)), (4, 8));

    let (mut stopped, _) = fresh(&config);
    let mut watcher = Watcher::stopping_at(8);
    // The phase's last step is saved anyway; this is where a kill between two phases lands.
    stopped.stop_when(watcher.stop.clone());
    let folder = root.path().join("stopped");
    stopped.train(&clips, None, &folder, &mut [&mut watcher]).expect_err("a stop");
    resumed(&folder).train(&clips, None, &folder, &mut []).expect("training");
    assert_same(&newest(&folder), &newest(&root.path().join("through")), "at the unfreezing");
}
