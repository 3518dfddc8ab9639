//! A run that starts from another one's weights.

use candle_core::Device;
use cola_coevolve::{ExperimentConfig, Run, checkpoint};

use crate::support::{clips, config, holds, train};

fn bits(run: &Run) -> Vec<(String, Vec<u32>)> {
    let vars = run.params().vars(Default::default()).into_iter();
    vars.map(|(name, var, _)| {
        let values = var.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("values");
        (name, values.into_iter().map(f32::to_bits).collect())
    })
    .collect()
}

#[test]
fn init_from_takes_all_weights_and_nothing_else() {
    let root = tempfile::tempdir().expect("a folder");
    let first = train(&config("LAM2+WARM2+E2E2"), root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");

    let other =
        config("E2E4").with_all(&["seed=5", "remedies.hold_lam=0", "codec.whiten=0.25"]).expect("values");
    let mut run = Run::new(&other, &Device::Cpu).expect("a run");
    assert_ne!(bits(&run), bits(&first));
    run.init_from(&folder).expect("the weights");
    assert_eq!(bits(&run), bits(&first));
    assert_eq!((run.step(), run.updates("backbone.x_embedder.weight")), (0, 0));
    for (name, ..) in run.params().vars(Default::default()) {
        assert_eq!(run.updates(&name), 0, "{name} has moments");
    }

    // The codes are not drawn anew by the first phase that learns them: codes that nothing moves stay.
    let still = other
        .with_all(&[
            "plan=LAM2",
            "phases.lam.rates.codebook=0",
            "phases.lam.rates.idm=0",
            "remedies.restart_after=0",
        ])
        .expect("values");
    let mut held = Run::new(&still, &Device::Cpu).expect("a run");
    held.init_from(&folder).expect("the weights");
    held.train(&clips(still.data.frames), None, &root.path().join("held"), &mut []).expect("training");
    let codes =
        |run: &Run| bits(run).into_iter().filter(|(name, _)| name.starts_with("lam.")).collect::<Vec<_>>();
    assert_eq!(codes(&held), codes(&first));
}

#[test]
fn weights_of_other_models_are_refused_by_field_before_anything_is_read() {
    let root = tempfile::tempdir().expect("a folder");
    train(&config("LAM2"), root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");
    // Nothing but the configuration is there to be read.
    let bare = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.join("config.toml"), bare.path().join("config.toml")).expect("a copy");
    let own = config("WARM2");
    let init = |values: &[&str]| -> cola_coevolve::Error {
        let mut run = Run::new(&own.with_all(values).expect("values"), &Device::Cpu).expect("a run");
        run.init_from(bare.path()).expect_err("other models")
    };
    holds(&init(&["dit.depth=2"]), &["config.toml", "dit.depth = 1 (2)", "--config", "--set KEY=VALUE"]);
    holds(&init(&["lam.layers=1", "lam.fdm_layers=1"]), &["lam.layers = 2 (1)", "lam.fdm_layers = 2 (1)"]);
    holds(&init(&["dit.input_sq_size=32"]), &["dit.input_sq_size = 16 (32)"]);
    // The same models: now the files are asked for.
    holds(&init(&[]), &["lam.safetensors"]);
}

#[test]
fn a_set_that_cannot_fit_is_refused_by_name_and_leaves_the_run_as_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    train(&config("LAM2+WARM2"), root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");
    std::fs::copy(folder.join("fdm.safetensors"), folder.join("backbone.safetensors")).expect("a wrong file");
    let mut run = Run::new(&config("WARM2").with("seed=2").expect("a seed"), &Device::Cpu).expect("a run");
    let before = bits(&run);
    holds(&run.init_from(&folder).expect_err("a changed file"), &["backbone.safetensors", "field `"]);
    // Without checksums, the tensors themselves tell.
    std::fs::remove_file(folder.join("state.json")).expect("the file");
    holds(&run.init_from(&folder).expect_err("a wrong set"), &["backbone.safetensors", "configuration"]);
    assert_eq!(bits(&run), before);
}

#[test]
fn weights_are_taken_over_before_the_first_step_only() {
    let root = tempfile::tempdir().expect("a folder");
    let mut run = train(&config("LAM2"), root.path());
    let folder = checkpoint::list(root.path()).pop().expect("a checkpoint");
    holds(&run.init_from(&folder).expect_err("too late"), &["step 2 is done", "before its first"]);
    let error = Run::check_init_from(root.path(), &ExperimentConfig::toy()).expect_err("no checkpoint");
    holds(&error, &["config.toml", "reading failed"]);
}
