//! Presets hold together and are as large as they say.

use candle_core::Device;
use cola_coevolve::{ExperimentConfig, Generator, SystemParams};

fn parameters(config: &ExperimentConfig) -> usize {
    let params = SystemParams::new(config, &Device::Cpu).expect("models");
    params.sets().iter().map(|(_, set)| set.count()).sum()
}

#[test]
fn every_preset_holds_together() {
    for name in ExperimentConfig::PRESETS {
        ExperimentConfig::preset(name)
            .expect("a preset")
            .check()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn small_has_four_to_six_times_the_parameters_of_tiny_and_makes_its_generator() {
    let small = ExperimentConfig::small();
    let ratio = parameters(&small) as f64 / parameters(&ExperimentConfig::tiny()) as f64;
    assert!((4.0..6.0).contains(&ratio), "{ratio}");
    assert_eq!(small.start.generator, Generator::Make);
}
