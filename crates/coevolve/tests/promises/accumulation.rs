//! A batch in parts is the same step.

use candle_core::DType;
use cola_coevolve::{ExperimentConfig, Run};

use crate::runs::{Watcher, fresh};

/// Largest difference of a parameter after training, over the largest change that training made to it.
fn difference(whole: &Run, parts: &Run, start: &Run) -> (String, f64) {
    let values = |run: &Run| run.params().vars(Default::default());
    let largest = |a: &candle_core::Var, b: &candle_core::Var| -> f64 {
        let difference = a.as_tensor().sub(b.as_tensor()).and_then(|d| d.to_dtype(DType::F64)).expect("f64");
        difference
            .abs()
            .and_then(|d| d.flatten_all())
            .and_then(|d| d.max(0))
            .and_then(|d| d.to_scalar())
            .expect("a number")
    };
    let all = values(whole).into_iter().zip(values(parts)).zip(values(start));
    all.filter_map(|(((name, whole, _), (_, parts, _)), (_, start, _))| {
        let moved = largest(&whole, &start);
        (moved > 0.0 && !crate::support::is_exactly_zero(&name))
            .then(|| (name, largest(&whole, &parts) / moved))
    })
    .max_by(|a, b| a.1.total_cmp(&b.1))
    .expect("something learned")
}

fn train(config: &ExperimentConfig, parts: usize) -> (Run, Watcher) {
    let root = tempfile::tempdir().expect("a folder");
    let config = config.with(&format!("data.accumulate={parts}")).expect("a value");
    let (mut run, clips) = fresh(&config);
    let mut watcher = Watcher::default();
    run.train(&clips, None, root.path(), &mut [&mut watcher]).expect("training");
    (run, watcher)
}

/// Two, three uneven and eight parts against the whole batch, in every phase. AdamW divides by the root of the second
/// moment, so that rounding in a gradient that is nearly nothing becomes a visible step: the epsilon is raised to where
/// only the gradients count.
#[test]
fn accumulation_equals_batch() {
    let config = crate::support::config("PRE2+LAM2+WARM2+E2E2");
    let values = [
        "optimizer.eps=1e-3",
        "remedies.motion_weight=0",
        "remedies.restart_after=0",
        "remedies.hold_lam=0",
        "optimizer.warmup=0",
    ];
    let config = config.with_all(&values).expect("values");
    let start = fresh(&config).0;
    let (whole, told) = train(&config, 1);
    for parts in [2, 3, 8] {
        let (run, watcher) = train(&config, parts);
        let (name, difference) = difference(&whole, &run, &start);
        assert!(difference < 1e-3, "{parts} parts: {name} differs by {difference:e} of its change");
        assert_eq!(watcher.losses.len(), told.losses.len());
        for (found, expected) in watcher.losses.iter().zip(&told.losses) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{parts} parts: {found} and {expected}");
        }
        for (found, expected) in watcher.records.iter().zip(&told.records) {
            let norm = found.gradient_norm / expected.gradient_norm;
            assert!((norm - 1.0).abs() < 1e-4, "{parts} parts: gradient norm {norm}");
            assert_eq!(found.codes, expected.codes, "{parts} parts");
        }
    }
}
