//! The quantizer's remedies in the training loop.

use candle_core::{Device, Result};
use cola_coevolve::{ExperimentConfig, Key, PhaseKind, System, SystemParams, lam_step, world_step};
use cola_data::Loader;
use cola_golden::gradients_cover;
use cola_lam::{CLUSTER_SIZE, CODEBOOK, EMBED_AVG};

use crate::resume::resuming_equals_never_stopping;
use crate::support::{awake, is_exactly_zero};

/// Every remedy that a codebook can have, at once.
fn everything(plan: &str) -> ExperimentConfig {
    crate::support::config(plan)
        .with_all(&[
            "lam.quantizer.update=ema",
            "lam.quantizer.decay=0.8",
            "lam.quantizer.cosine=true",
            "lam.quantizer.gradient=rotation",
            "lam.quantizer.entropy_weight=0.1",
            "lam.quantizer.entropy_temperature=0.5",
        ])
        .expect("a configuration")
}

/// Two tokens of three numbers, 12 codes each.
fn scalar(plan: &str) -> ExperimentConfig {
    crate::support::config(plan)
        .with_all(&[
            "lam.quantizer.levels=[3, 2, 2]",
            "lam.code_dim=3",
            "lam.codes=12",
            "lam.code_init=box",
            "dit.action.action_dim=6",
            "remedies.restart_after=0",
        ])
        .expect("a configuration")
}

#[test]
fn resuming_with_every_remedy_equals_never_stopping() {
    resuming_equals_never_stopping(&everything("LAM8+WARM4+E2E4"), &[5, 9, 14]);
}

#[test]
fn resuming_with_scalar_quantization_equals_never_stopping() {
    resuming_equals_never_stopping(&scalar("LAM4+E2E4"), &[6]);
}

#[test]
fn gradients_are_complete_with_every_remedy_in_every_phase() -> Result<()> {
    for config in [everything(crate::support::EVERY_PHASE), scalar(crate::support::EVERY_PHASE)] {
        let params = SystemParams::new(&config, &Device::Cpu)?;
        awake(&params)?;
        let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
        let batch = loader.batch(0, true, &Device::Cpu).expect("a batch");
        for kind in [PhaseKind::Lam, PhaseKind::Warm, PhaseKind::Joint] {
            let system = System::enter(&params, &config, kind.trains())?;
            let step = match kind {
                PhaseKind::Lam => lam_step(&system, &config, &batch)?,
                _ => world_step(&system, &config, &batch, Key { seed: 0, step: 0 }, true)?,
            };
            let grads = step.loss.backward()?;
            let vars = params.vars(kind.trains());
            let part = |wanted: bool| {
                vars.iter()
                    .filter(|(name, ..)| !is_exactly_zero(name))
                    .filter(|(name, _, trains)| {
                        let by_gradient =
                            name.strip_prefix("lam.").is_none_or(|name| config.lam.learns_by_gradient(name));
                        (*trains && by_gradient) == wanted
                    })
                    .map(|(name, var, _)| (name.as_str(), var))
                    .collect::<Vec<_>>()
            };
            let complaints = gradients_cover(&grads, part(true), part(false))?;
            assert!(complaints.is_empty(), "{kind:?}:\n  {}", complaints.join("\n  "));
        }
    }
    Ok(())
}

#[test]
fn a_moving_average_moves_the_codebook_while_the_latent_action_model_learns_and_only_then() {
    let state = |plan: &str, set: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = everything(plan).with_all(set).expect("a configuration");
        let run = crate::support::train(&config, folder.path());
        [CODEBOOK, CLUSTER_SIZE, EMBED_AVG].map(|name| {
            let var = run.params().lam.get(name).expect("a variable");
            var.flatten_all().and_then(|values| values.to_vec1::<f32>()).expect("values")
        })
    };
    let quiet = ["remedies.restart_after=0"];
    let (held, learned) = (state("WARM2", &quiet), state("WARM4", &quiet));
    // The first two steps hold the latent action model.
    assert_eq!(held[1], [1.0; 8]);
    assert_eq!(held[0], held[2], "first codes and their statistics");
    assert!((learned[1].iter().sum::<f32>() - (8.0 * 0.64 + 32.0 * 0.36)).abs() < 1e-3, "{:?}", learned[1]);
    assert_ne!(learned[0], held[0]);
    for row in learned[0].chunks(8) {
        let length: f32 = row.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_eq!(state("WARM4+WM4", &quiet), learned);
}

#[test]
fn the_header_names_every_remedy_that_is_on() {
    let told = |config: &ExperimentConfig| config.deviations().expect("lines").join("\n");
    let text = told(&everything("LAM4"));
    for part in [
        "moving average (decay 0.8)",
        "unit vectors",
        "rotation trick",
        "entropy penalty on the choice of codes (0.1, temperature 0.5)",
        "quantizer.cosine true (false)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(told(&scalar("LAM4")).contains("levels [3, 2, 2] instead of a codebook"));
    let plain = told(&crate::support::config("LAM4"));
    for part in ["moving average", "unit vectors", "rotation", "entropy", "scalar"] {
        assert!(!plain.contains(part), "{part}: {plain}");
    }
}

#[test]
fn restarting_codes_that_do_not_exist_is_refused() {
    let refusal = scalar("LAM4").with("remedies.restart_after=5").expect_err("no codes").to_string();
    assert!(refusal.contains("remedies.restart_after is 5") && refusal.contains("set 0"), "{refusal}");
    let refusal = scalar("LAM4").with("lam.quantizer.update=ema").expect_err("no codebook").to_string();
    assert!(refusal.contains("quantizer.update") && refusal.contains("[3, 2, 2]"), "{refusal}");
}

#[test]
fn a_stored_configuration_from_before_the_remedies_still_opens() {
    let config = crate::support::config("LAM4");
    let folder = tempfile::tempdir().expect("a folder");
    let text = config.to_toml().expect("text");
    let start = text.find("[lam.quantizer]").expect("a section");
    let end = text[start + 1..].find("\n[").map_or(text.len(), |at| start + 2 + at);
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("{}{}", &text[..start], &text[end..])).expect("a file");
    assert_eq!(ExperimentConfig::read(&file).expect("an old configuration"), config);
}
