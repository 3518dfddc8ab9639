//! What is wrong is said, with the mend, and nothing that was there before is lost.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cola_coevolve::{Error, ExperimentConfig, Run, checkpoint};

use crate::support::{holds, without_checksums};

#[test]
fn unknown_keys_and_wrong_values_are_refused_by_name() {
    let config = ExperimentConfig::tiny();
    holds(&config.with("lam.comitment=1").unwrap_err(), &["comitment", "commitment_weight"]);
    holds(&config.with("data.batch").unwrap_err(), &["no `=` found", "KEY=VALUE"]);
    holds(&config.with("data.batch=many").unwrap_err(), &["--set data.batch=many", "many"]);
    holds(&config.with("data.frames=1").unwrap_err(), &["data.frames is 1", "at least 2"]);
    holds(&config.with("dit.in_channels=7").unwrap_err(), &["dit.in_channels is 7", "48"]);
    holds(
        &config.with("schedule.checkpoint_every=30").unwrap_err(),
        &["30", "multiple of schedule.log_every = 25"],
    );
    holds(&config.with("plan=WARM").unwrap_err(), &["WARM", "WARM8K+E2E52K"]);
    holds(&ExperimentConfig::preset("huge").unwrap_err(), &["huge", "tiny, small, paper, smoke, toy"]);
    holds(&config.with("evaluation.episodes=1").unwrap_err(), &["evaluation.episodes 1", "at least 2"]);
    holds(&config.with("evaluation.guidance=nan").unwrap_err(), &["evaluation.guidance", "finite"]);
    holds(
        &config.with("flow.time.shift={fixed=-1.0}").unwrap_err(),
        &["flow.time.shift is Fixed(-1.0)", "above 0"],
    );
    holds(
        &config.with("flow.time.shift={open_sora=1.0}").unwrap_err(),
        &["flow.time.shift is OpenSora(1.0)", "data.frames", "at least 17"],
    );
    holds(&config.with("phases.joint.rates.idm=inf").unwrap_err(), &["phases", "finite"]);
    holds(&config.with("data.batch=1").unwrap_err(), &["data.batch is 1", "16 tokens", "lam.codes = 32"]);
    holds(&config.with("plan=LAM18446744073709551615+WARM2").unwrap_err(), &["is no phase"]);
    assert_eq!(config.with("optimizer.clip=2").expect("a whole number for a real one").optimizer.clip, 2.0);
}

#[test]
fn a_configuration_file_survives_a_round_trip_and_names_foreign_keys() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("config.toml");
    for name in ExperimentConfig::PRESETS {
        let config = ExperimentConfig::preset(name).expect("a preset");
        std::fs::write(&file, config.to_toml().expect("TOML")).expect("a file");
        assert_eq!(ExperimentConfig::read(&file).expect("the same"), config, "{name}");
    }
    let text = std::fs::read_to_string(&file).expect("the file").replace("[codec]", "[codec]\nquality = 3");
    std::fs::write(&file, text).expect("a file");
    holds(&ExperimentConfig::read(&file).unwrap_err(), &["config.toml", "quality", "factor"]);
    holds(
        &ExperimentConfig::read(&root.path().join("none.toml")).unwrap_err(),
        &["none.toml", "reading failed"],
    );
}

#[test]
fn every_value_unlike_the_papers_is_told() {
    let paper = ExperimentConfig::paper().deviations().expect("lines");
    assert!(paper.iter().all(|line| !line.contains('(')), "{paper:?}");
    let tiny = ExperimentConfig::tiny().deviations().expect("lines").join("\n");
    for part in
        ["data: ", "frames 2 (8)", "lam: ", "dim 64 (768)", "action.output_norm true (false)", "region.top"]
    {
        assert!(tiny.contains(part), "`{part}` is not in:\n{tiny}");
    }
}

#[test]
fn more_dead_codes_than_tokens_do_not_stop_a_run() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = crate::support::config("LAM12");
    // Two tokens a step for eight codes that die after one idle step each.
    (config.data.batch, config.data.frames, config.flow.given_max) = (1, 2, 1);
    config.remedies.restart_after = 1;
    crate::support::train(&config, root.path());
}

/// A finished run's newest checkpoint.
fn trained(root: &Path) -> PathBuf {
    crate::support::train(&crate::support::config("LAM2+WARM2"), root);
    checkpoint::list(root).pop().expect("a checkpoint")
}

fn open(folder: &Path) -> Error {
    match Run::open(folder, &Device::Cpu) {
        Ok(_) => panic!("{} opened", folder.display()),
        Err(error) => error,
    }
}

#[test]
fn damaged_checkpoints_are_refused_with_file_field_and_mend() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = trained(root.path());
    without_checksums(&folder);
    let spoil = |name: &str, bytes: &[u8], parts: &[&str]| {
        let file = folder.join(name);
        let whole = std::fs::read(&file).expect("the file");
        std::fs::write(&file, bytes).expect("a damaged file");
        holds(&open(&folder), parts);
        std::fs::write(&file, whole).expect("the file again");
    };
    let lam = std::fs::read(folder.join("lam.safetensors")).expect("the file");
    spoil("lam.safetensors", &lam[..lam.len() / 2], &["lam.safetensors", "truncated"]);
    spoil("lam.safetensors", b"no tensors", &["lam.safetensors", "not a whole safetensors file"]);
    let action = std::fs::read(folder.join("action.safetensors")).expect("the file");
    spoil(
        "lam.safetensors",
        &action,
        &[
            "lam.safetensors",
            "foreign",
            "encoder.embed.proj.bias",
            "blocks.0.attn.proj.bias",
            "configuration",
        ],
    );
    spoil(
        "optimizer.safetensors",
        &action,
        &["optimizer.safetensors", "absent", "expected", "the one before it"],
    );
    spoil("state.json", b"{\"format\": 1}", &["state.json", "missing field"]);
    let state = std::fs::read_to_string(folder.join("state.json")).expect("the file");
    let newer = state.replace("\"format\": 1", "\"format\": 7");
    spoil("state.json", newer.as_bytes(), &["`format` is 7", "expected 1 to 2"]);
    let beyond = state.replace("\"step\": 4", "\"step\": 400");
    spoil("state.json", beyond.as_bytes(), &["`step` is 400", "at most 4"]);
    let toml = std::fs::read_to_string(folder.join("config.toml")).expect("the file");
    let wider = toml.replace("hidden_size = 16", "hidden_size = 32");
    spoil("config.toml", wider.as_bytes(), &["safetensors", "expected", "configuration"]);
    Run::open(&folder, &Device::Cpu).expect("everything is as it was");
}

#[test]
fn a_folder_without_a_checkpoint_says_how_to_start() {
    let root = tempfile::tempdir().expect("a folder");
    let error = Run::resume(root.path(), &Device::Cpu).err().expect("nothing to resume");
    assert!(matches!(error, Error::NoCheckpoint { .. }));
    holds(&error, &["no complete checkpoint", "without --resume"]);
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run_and_keeps_its_checkpoints() {
    let root = tempfile::tempdir().expect("a folder");
    let config = crate::support::config("LAM8+WARM4");
    let clips = crate::support::clips(3);
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("a codec");
    let victim = run.params().fdm.vars().pop().expect("a variable").1;
    // Break it after the first checkpoint, as a divergence would.
    struct Spoil(candle_core::Var);
    impl cola_coevolve::Observer for Spoil {
        fn on_checkpoint(&mut self, _folder: &Path) -> Result<(), Error> {
            let nan = Tensor::full(f32::NAN, self.0.shape().clone(), &Device::Cpu)?;
            Ok(self.0.set(&nan)?)
        }
    }
    let error = run
        .train(&clips, None, root.path(), &mut [&mut Spoil(victim)])
        .expect_err("a loss that is not a number");
    let Error::Diverged { divergence, .. } = &error else { panic!("{error}") };
    assert_eq!((divergence.step, divergence.what.as_str()), (4, "loss"));
    holds(&error, &["phase LAM8", "step 4", "NaN", "finite", "phases.lam.rates"]);
    let left = checkpoint::list(root.path());
    assert_eq!(left.len(), 1);
    assert_eq!(Run::open(&left[0], &Device::Cpu).expect("the checkpoint before").step(), 4);
}
