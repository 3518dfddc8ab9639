//! A loss that is not a number: the run stops or leaves the step out; the last good checkpoint stays as it is.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use cola_coevolve::{Divergence, Error, ExperimentConfig, Observer, Phase, Run, checkpoint};

use crate::runs::{assert_same, bytes, fresh, resumed};

/// Makes a parameter NaN after some step, and puts it right again when so many steps have been left out.
struct Poison {
    var: Var,
    good: Tensor,
    at: u64,
    heal_after: usize,
    steps: u64,
    skips: Vec<Divergence>,
    /// The newest checkpoint as it was written.
    saved: BTreeMap<String, Vec<u8>>,
}

impl Poison {
    fn new(run: &Run, at: u64, heal_after: usize) -> Self {
        let var = run.params().fdm.vars().pop().expect("a variable").1;
        let good = var.as_tensor().copy().expect("a copy");
        Self { var, good, at, heal_after, steps: 0, skips: Vec::new(), saved: BTreeMap::new() }
    }
}

impl Observer for Poison {
    fn on_step(&mut self, _phase: &Phase, _done: u64, _loss: f64) -> Result<(), Error> {
        self.steps += 1;
        if self.steps == self.at {
            self.good = self.var.as_tensor().copy()?;
            self.var.set(&Tensor::full(f32::NAN, self.var.shape().clone(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    fn on_skip(&mut self, _phase: &Phase, divergence: &Divergence) -> Result<(), Error> {
        self.skips.push(divergence.clone());
        if self.skips.len() == self.heal_after {
            self.var.set(&self.good)?;
        }
        Ok(())
    }

    fn on_checkpoint(&mut self, folder: &Path) -> Result<(), Error> {
        self.saved = bytes(folder);
        Ok(())
    }
}

fn config(values: &[&str]) -> ExperimentConfig {
    let mut config = crate::support::config("LAM16");
    config.schedule.keep = 1;
    config.with_all(values).expect("values")
}

#[test]
fn nan_policy_stop() {
    let root = tempfile::tempdir().expect("a folder");
    let (mut run, clips) = fresh(&config(&[]));
    let mut poison = Poison::new(&run, 6, usize::MAX);
    let error = run.train(&clips, None, root.path(), &mut [&mut poison]).expect_err("NaN");
    let Error::Diverged { divergence, .. } = &error else { panic!("{error}") };
    assert_eq!((divergence.step, divergence.what.as_str(), divergence.value.as_str()), (6, "loss", "NaN"));
    assert_eq!((divergence.clips.len(), divergence.samples[0]), (8, 48), "the batch can be made again");
    let text = error.to_string();
    for part in ["LAM16, step 6", "phases.lam.rates", "divergence.policy=skip", "diverged-step-00000006"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    // The last good checkpoint is the only one, whole, and what a resume takes.
    assert_eq!(checkpoint::list(root.path()).len(), 1);
    assert_eq!(resumed(root.path()).step(), 4);
    // The state is dumped: parameters as they were (the poison included), and what was found.
    let dump = root.path().join("diverged-step-00000006");
    assert_eq!(Run::open(&dump, &Device::Cpu).expect("a whole state").step(), 6);
    let stored = std::fs::read(dump.join("divergence.json")).expect("a file");
    assert_eq!(serde_json::from_slice::<Divergence>(&stored).expect("JSON"), **divergence);
}

#[test]
fn nan_policy_skip() {
    let root = tempfile::tempdir().expect("a folder");
    let config = config(&["divergence.policy=skip", "divergence.limit=3", "schedule.keep=9"]);
    let (mut run, clips) = fresh(&config);
    let mut poison = Poison::new(&run, 6, 2);
    run.train(&clips, None, root.path(), &mut [&mut poison]).expect("two steps left out");
    let steps: Vec<u64> = poison.skips.iter().map(|skip| skip.step).collect();
    assert_eq!((steps, poison.steps), (vec![6, 7], 14));
    // Updates are counted without them, and the parameters are numbers.
    let name = run.params().fdm.vars().pop().map(|(name, _)| format!("fdm.{name}")).expect("a name");
    assert_eq!(run.updates(&name), 14);
    for (name, var, _) in run.params().vars(Default::default()) {
        let sum = var.as_tensor().abs().and_then(|all| all.sum_all()).and_then(|sum| sum.to_scalar::<f32>());
        assert!(sum.expect("a sum").is_finite(), "{name}");
    }
    assert_eq!(resumed(root.path()).step(), 16);
}

/// One more in a row than allowed stops the run, with the state dumped and the checkpoints before untouched.
#[test]
fn nan_policy_skip_gives_up() {
    let root = tempfile::tempdir().expect("a folder");
    let (mut run, clips) = fresh(&config(&["divergence.policy=skip", "divergence.limit=1"]));
    let mut poison = Poison::new(&run, 5, usize::MAX);
    let error = run.train(&clips, None, root.path(), &mut [&mut poison]).expect_err("NaN twice");
    assert!(matches!(&error, Error::Diverged { divergence, .. } if divergence.step == 6), "{error}");
    assert_eq!(poison.skips.len(), 1);
    let good = checkpoint::list(root.path());
    assert_eq!(good.len(), 1);
    assert_same(&bytes(&good[0]), &poison.saved, "the last good checkpoint");
    assert_eq!(resumed(root.path()).step(), 4);
    assert!(root.path().join("diverged-step-00000006/divergence.json").is_file());
}

/// Parameters that go wrong just before a save, with one checkpoint kept: the save does not happen, or it would push the
/// last good one out.
#[test]
fn nan_policy_stop_at_a_save() {
    for values in [&["divergence.limit=0"][..], &["divergence.policy=skip", "divergence.limit=9"]] {
        let root = tempfile::tempdir().expect("a folder");
        let (mut run, clips) = fresh(&config(values));
        let mut poison = Poison::new(&run, 8, usize::MAX);
        let error = run.train(&clips, None, root.path(), &mut [&mut poison]).expect_err("NaN");
        let Error::Diverged { divergence, .. } = &error else { panic!("{error}") };
        assert_eq!((divergence.step, divergence.what.as_str()), (8, "norm of the parameters"));
        assert!(divergence.variables[0].starts_with("fdm."), "{divergence:?}");
        let good = checkpoint::list(root.path());
        assert_eq!(good.len(), 1);
        assert_same(&bytes(&good[0]), &poison.saved, "the last good checkpoint");
        assert_eq!(resumed(root.path()).step(), 4);
    }
}
