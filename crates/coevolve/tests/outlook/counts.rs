//! Parameters of the parts against those of real models.

use candle_core::Device;
use cola_coevolve::{ExperimentConfig, Outlook, SystemParams};
use cola_dit_world::DitConfig;
use cola_lam::CodeUpdate;

fn counted(config: &ExperimentConfig) {
    let outlook = Outlook::of(config, 0).expect("an outlook");
    let params = SystemParams::new(config, &Device::Cpu).expect("parameters");
    for (set, params) in params.sets() {
        let names: &[&str] = if set == "lam" { &["idm", "codebook"] } else { &[set] };
        let parts = names.iter().filter_map(|name| outlook.part(name));
        let (numbers, tensors) = parts.fold((0, 0), |(n, t), part| (n + part.parameters, t + part.tensors));
        assert_eq!((numbers, tensors), (params.count() as u64, params.vars().len()), "{set}");
    }
}

#[test]
fn every_part_has_as_many_parameters_and_tensors_as_the_models_that_are_built() {
    counted(&ExperimentConfig::toy());
    counted(&ExperimentConfig::tiny());
    let mut other = ExperimentConfig::toy();
    other.lam.quantizer.update = CodeUpdate::Ema;
    other.lam.readout = cola_lam::Readout::Prompt;
    other.dit.qk_norm = false;
    counted(&other);
}

#[test]
fn models_of_the_papers_size_are_counted_without_being_made() {
    let mut config = ExperimentConfig::paper();
    config.dit = DitConfig::paper();
    let outlook = Outlook::of(&config, 0).expect("an outlook");
    let count = |name: &str| outlook.part(name).map(|part| part.parameters);
    assert_eq!(count("backbone"), Some(904_066_592));
    assert_eq!(count("action"), Some(74_451_456));
}

#[test]
fn phases_say_what_learns_what_is_frozen_and_what_is_not_there() {
    let config = ExperimentConfig::tiny().with("plan=PRE2+LAM2+WARM2+E2E2+WM2").expect("a plan");
    let outlook = Outlook::of(&config, 0).expect("an outlook");
    let learn: Vec<String> = outlook.phases.iter().map(|phase| phase.learn.join(" ")).collect();
    let frozen: Vec<String> = outlook.phases.iter().map(|phase| phase.frozen.join(" ")).collect();
    let expected = [
        "backbone",
        "idm codebook fdm",
        "idm codebook action",
        "idm codebook action backbone",
        "action backbone",
    ];
    assert_eq!(learn, expected);
    assert_eq!(frozen, ["codec", "", "backbone codec", "codec", "idm codebook codec"]);
}

#[test]
fn a_generator_is_made_beside_the_run_only_where_none_is_named() {
    let making = |settings: &[&str]| {
        let config = ExperimentConfig::tiny().with_all(settings).expect("settings");
        let outlook = Outlook::of(&config, 0).expect("an outlook");
        outlook.stages.iter().any(|stage| stage.name == "making the generator")
    };
    assert!(making(&["plan=WARM2+E2E2"]));
    assert!(!making(&["plan=LAM2"]));
    assert!(!making(&["plan=PRE2+E2E2"]));
    assert!(!making(&["plan=WARM2+E2E2", "start.generator=some/folder"]));
}
