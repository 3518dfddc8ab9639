//! What may change when a run goes on.

use candle_core::Device;
use cola_coevolve::{Error, ExperimentConfig, Run, checkpoint};

use crate::support::{clips, config, holds, train};

/// The keys that are refused after `done` steps when these values are set.
fn refused(stored: &ExperimentConfig, done: u64, values: &[&str]) -> Vec<String> {
    match stored.with_all(values).expect("values").check_resume(stored, done) {
        Ok(()) => Vec::new(),
        Err(Error::Fixed { refused, .. }) => refused.iter().map(|fixed| fixed.key.clone()).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn tiny() -> ExperimentConfig {
    ExperimentConfig::tiny().with("plan=LAM10+WARM10+E2E10").expect("a plan")
}

#[test]
fn what_decides_no_step_may_change() {
    for value in [
        "schedule.keep=7",
        "schedule.log_every=5",
        "health.codebook.entropy=0.5",
        "health.window=7",
        "divergence.policy=skip",
        "data.path=/moved/here",
        "data.workers=3",
        "data.memory=1",
        "data.budget=4",
        "compute.recompute=true",
        "evaluation.guidance=2",
        "evaluation.transitions=50",
        "evaluation.horizon=3",
    ] {
        assert_eq!(refused(&tiny(), 15, &[value]), Vec::<String>::new(), "{value}");
    }
}

#[test]
fn what_decides_steps_is_refused_by_name() {
    for (value, key) in [
        ("seed=3", "seed"),
        ("pretrain=PRE5", "pretrain"),
        ("data.batch=16", "data.batch"),
        ("data.accumulate=2", "data.accumulate"),
        ("data.region.top=0.1", "data.region.top"),
        ("data.fps=2", "data.fps"),
        ("codec.whiten=0", "codec.whiten"),
        ("lam.commitment_weight=1", "lam.commitment_weight"),
        ("dit.causal=false", "dit.causal"),
        ("flow.drop=0.2", "flow.drop"),
        ("flow.time.shift={resolution=1.0}", "flow.time.shift"),
        ("optimizer.clip=0.5", "optimizer.clip"),
        ("phases.joint.rates.idm=1e-5", "phases.joint.rates.idm"),
        ("remedies.hold_lam=3", "remedies.hold_lam"),
        ("compute.dtype=bf16", "compute.dtype"),
        ("start.generator=make", "start.generator"),
        ("evaluation.split=train", "evaluation.split"),
        ("evaluation.curve_transitions=50", "evaluation.curve_transitions"),
        ("evaluation.batch=7", "evaluation.batch"),
    ] {
        assert_eq!(refused(&tiny(), 15, &[value]), [key], "{value}");
    }
    let wanted = tiny().with_all(&["seed=3", "optimizer.clip=0.5"]).expect("values");
    let error = wanted.check_resume(&tiny(), 15).expect_err("two values too many");
    holds(
        &error,
        &[
            "after step 15",
            "seed is 0, wanted 3",
            "optimizer.clip is 1.0, wanted 0.5",
            "new run with --init-from",
        ],
    );
}

#[test]
fn the_end_of_a_plan_may_change_but_nothing_that_was_done() {
    let goes_on = |plan: &str, done: u64| refused(&tiny(), done, &[&format!("plan={plan}")]).is_empty();
    for (plan, done) in [
        ("LAM10+WARM10+E2E10", 30),
        ("LAM10+WARM10+E2E25", 15),
        ("LAM10+WARM10+E2E25", 30),
        ("LAM10+WARM10+E2E12+WM5", 30),
        ("LAM10+WARM10+E2E10+WM5", 3),
        ("LAM10+WARM10+E2E4", 24),
        ("LAM10+WARM5", 15),
        ("LAM10", 10),
    ] {
        assert!(goes_on(plan, done), "{plan} after {done} steps");
    }
    for (plan, done) in [
        ("LAM10+WARM10+E2E4", 25),
        ("LAM10", 11),
        ("LAM20", 15),
        ("LAM5+WARM15+E2E10", 7),
        ("LAM12+WARM10+E2E10", 5),
        ("LAM10+E2E20", 5),
        ("WARM30", 0),
        ("LAM10+WARM10+E2E5+E2E5", 22),
    ] {
        assert!(!goes_on(plan, done), "{plan} after {done} steps");
    }
}

#[test]
fn the_drawn_world_stays_the_drawn_world() {
    let toy = ExperimentConfig::toy();
    assert_eq!(refused(&toy, 0, &["data.path=/clips"]), ["data.path"]);
    // It draws as many held-out clips as are evaluated, and the curve is measured on some of them.
    assert_eq!(refused(&toy, 0, &["evaluation.transitions=50"]), ["evaluation.transitions"]);
}

#[test]
fn a_prolonged_run_goes_on_with_the_bits_of_the_longer_one() {
    let root = tempfile::tempdir().expect("a folder");
    let (short, long) = (config("LAM4+WARM4"), config("LAM4+WARM8"));
    let through = train(&long, &root.path().join("long"));
    let folder = root.path().join("short");
    train(&short, &folder);
    Run::check_resume(&folder, &long).expect("a longer plan");
    let mut run = Run::resume_with(&folder, &long, &Device::Cpu).expect("the run");
    assert_eq!(run.step(), 8);
    run.train(&clips(long.data.frames), None, &folder, &mut []).expect("training");
    for ((name, ours, _), (_, theirs, _)) in
        run.params().vars(Default::default()).iter().zip(through.params().vars(Default::default()))
    {
        let bits = |var: &candle_core::Var| -> Vec<u32> {
            let values = var.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("values");
            values.into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(ours), bits(&theirs), "{name}");
    }
    let newest = checkpoint::list(&folder).pop().expect("a checkpoint");
    assert_eq!(checkpoint::config(&newest).expect("its configuration"), long);

    let other = long.with("seed=9").expect("a seed");
    for error in [
        Run::check_resume(&folder, &other).expect_err("another seed"),
        Run::resume_with(&folder, &other, &Device::Cpu).err().expect("another seed"),
    ] {
        holds(&error, &["after step 12", "seed is 0, wanted 9"]);
    }
}
