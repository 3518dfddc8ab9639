//! Texts of configurations, and what may stand behind `--set`.

use std::path::Path;

use cola_coevolve::{ExperimentConfig, Plan};
use rand::Rng;

use crate::allocation::{Taken, alone, bounded};
use crate::mutate::{case, mutate};

/// Inputs of each of the two tests.
const CASES: u64 = 2000;

/// Reads a file of these bytes.
fn read(file: &Path, bytes: &[u8]) -> Result<ExperimentConfig, String> {
    std::fs::write(file, bytes).expect("a folder");
    ExperimentConfig::read(file).map_err(|error| error.to_string())
}

#[test]
fn a_mutated_configuration_never_panics_and_what_is_understood_survives_a_round_trip() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("config.toml");
    let sound: Vec<Vec<u8>> = ExperimentConfig::PRESETS
        .map(|name| ExperimentConfig::preset(name).expect("a preset").to_toml().expect("TOML").into_bytes())
        .into();
    let _alone = alone();
    let (mut refused, mut most) = (0, Taken::default());
    for number in 0..CASES {
        let mut rng = case("hostile configuration", number);
        let mutated = mutate(
            &sound[rng.random_range(0..sound.len())],
            &sound[rng.random_range(0..sound.len())],
            &mut rng,
        );
        let name = format!("case {number}");
        let (found, taken) = bounded(&name, mutated.len(), || read(&file, &mutated));
        most = most.max(taken);
        match found {
            Ok(config) => {
                let text = config.to_toml().expect("TOML");
                let again = read(&file, text.as_bytes()).expect("what was written");
                // As texts: a number that is none is not equal to itself.
                assert_eq!(again.to_toml().expect("TOML"), text, "{name}");
            }
            Err(_) => refused += 1,
        }
    }
    println!("{refused} of {CASES} refused, {most:?} at most");
    assert!(refused > 0 && refused < CASES, "{refused} of {CASES} were refused");
}

#[test]
fn a_mutated_override_or_plan_never_panics() {
    let config = crate::support::config("LAM2+WARM2");
    let sound = [
        "data.batch=16",
        "plan=LAM2K+WARM400+E2E1600",
        "flow.time.shift={ fixed = 2.0 }",
        "lam.quantizer.levels=[8, 5, 5]",
        "evaluation.also_guidance=[1.0, 4]",
        "codec.factor=4",
        "dit.hidden_size=64",
        "lam.codes=16",
        "data.region={ top = 0.0, left = 0.25, height = 1.0, width = 0.5 }",
    ];
    let _alone = alone();
    let (mut refused, mut most) = (0, Taken::default());
    for number in 0..CASES {
        let mut rng = case("hostile override", number);
        let (one, other) = (sound[rng.random_range(0..sound.len())], sound[rng.random_range(0..sound.len())]);
        let mutated = mutate(one.as_bytes(), other.as_bytes(), &mut rng);
        let text = String::from_utf8_lossy(&mutated);
        // What is given on a command line also costs the configuration that it changes.
        let bytes = mutated.len() + 8192;
        let (found, taken) = bounded(&format!("case {number}, {one}"), bytes, || {
            drop(text.parse::<Plan>().map_err(|error| error.to_string()));
            config.with(&text).map_err(|error| error.to_string())
        });
        refused += u64::from(found.is_err());
        most = most.max(taken);
    }
    println!("{refused} of {CASES} refused, {most:?} at most");
    assert!(refused > 0 && refused < CASES, "{refused} of {CASES} were refused");
}
