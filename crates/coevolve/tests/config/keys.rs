//! Keys that do not exist or are missing.

use cola_coevolve::ExperimentConfig;

use crate::support::holds;

fn wrong(text: &str) -> cola_coevolve::Error {
    ExperimentConfig::from_toml(text, "my.toml").expect_err("a file that is wrong")
}

fn set(assignment: &str) -> cola_coevolve::Error {
    ExperimentConfig::tiny().with(assignment).expect_err("an assignment that is wrong")
}

#[test]
fn an_unknown_key_of_set_is_refused_with_the_nearest() {
    holds(&set("optimiser.warmup=3"), &["--set optimiser.warmup=3", "`optimizer.warmup`?"]);
    holds(&set("commitment_weight=1"), &["did you mean `lam.commitment_weight`?"]);
    holds(&set("lam.comitment=1"), &["no key `lam.comitment`", "did you mean `lam.commitment_weight`?"]);
    holds(&set("phases.joint.idm=1"), &["did you mean `phases.joint.rates.idm`?"]);
    holds(&set("data.bacth=1"), &["did you mean `data.batch`?", "data has"]);
    holds(&set("zzz=1"), &["no key `zzz`", "the top level has", "remedies"]);
    assert!(!set("zzz=1").to_string().contains("did you mean"));
    holds(&set("seed.low=1"), &["`seed.low` goes below `seed`", "plain value"]);
    holds(
        &set("flow.time.shift.open_sora=1.0"),
        &["stated whole", "--set 'flow.time.shift={open_sora = 1.0}'"],
    );
}

#[test]
fn unknown_keys_of_a_file_are_refused_with_path_line_and_the_nearest() {
    let text = "preset = \"tiny\"\n\n[data]\nbatch = 16\nbacth = 3\n\n[optimiser]\nwarmup = 3\n";
    holds(
        &wrong(text),
        &[
            "my.toml: line 5: there is no key `data.bacth`; did you mean `data.batch`?",
            "line 7: there is no key `optimiser`; did you mean `optimizer`?",
        ],
    );
    holds(
        &wrong("preset = \"tiny\"\nphases.joint.rates = { idm = 1e-4, fmd = 2e-4 }\n"),
        &["line 2", "rates.fmd"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_key_and_line() {
    let text = "preset = \"tiny\"\n[data]\nfps = 2\nbatch = \"many\"\n";
    holds(&wrong(text), &["my.toml: line 4: `data.batch`", "many"]);
    holds(&wrong("preset = \"tiny\"\nplan = \"WARP3\"\n"), &["line 2: `plan`", "WARP3", "WARM8K"]);
    holds(&wrong("preset = \"huge\"\n"), &["huge", "tiny, small, paper"]);
    holds(&wrong("preset = 3\n"), &["preset is 3"]);
    holds(
        &wrong("preset = \"tiny\"\n[flow.time]\nshift = { fixd = 2.0 }\n"),
        &["line 3", "flow.time.shift", "fixd"],
    );
    holds(&wrong("[data\n"), &["my.toml", "line 1"]);
}

#[test]
fn a_file_states_some_values_and_a_preset_the_others() {
    let text =
        "preset = \"toy\"\nseed = 7\n[optimizer]\nclip = 2\n[flow.time]\nshift = { resolution = 2.0 }\n";
    let config = ExperimentConfig::from_toml(text, "my.toml").expect("a configuration");
    let wanted = ExperimentConfig::toy()
        .with_all(&["seed=7", "optimizer.clip=2", "flow.time.shift={resolution=2.0}"])
        .expect("the same by overrides");
    assert_eq!(config, wanted);
}

#[test]
fn a_file_without_a_preset_names_what_it_lacks() {
    let whole = ExperimentConfig::tiny().to_toml().expect("TOML");
    let less = whole.replace("batch = 32\n", "").replace("clip = 1.0\n", "");
    assert_ne!(less, whole);
    holds(&wrong(&less), &["missing: data.batch, optimizer.clip;", "preset = \"tiny\""]);
    holds(&wrong("seed = 3\n"), &["missing: codec, data, dit", "more"]);
    // Sections that came later may be left out: stored configurations of then have none.
    let without = |parent: Option<&str>, name: &str| {
        let mut tree: toml::Table = whole.parse().expect("TOML");
        let table = match parent {
            Some(parent) => tree.get_mut(parent).and_then(toml::Value::as_table_mut).expect("a section"),
            None => &mut tree,
        };
        table.remove(name).unwrap_or_else(|| panic!("{name}"));
        let config = ExperimentConfig::from_toml(&tree.to_string(), "old.toml").expect("an older file");
        assert_eq!(config, ExperimentConfig::tiny(), "{name}");
    };
    without(None, "start");
    without(None, "health");
    without(None, "divergence");
    without(None, "compute");
    without(Some("lam"), "quantizer");
    without(Some("health"), "codebook");
    without(Some("data"), "path");
}

#[test]
fn the_configurations_that_are_shipped_are_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    for name in ["generator_tiny", "lam_tiny"] {
        let file = root.join(name).join("config.toml");
        let config = ExperimentConfig::read(&file).expect("a stored configuration");
        assert_eq!(config.data.region, ExperimentConfig::tiny().data.region, "{name}");
    }
}

#[test]
fn every_preset_over_every_other_gives_itself() {
    for base in ExperimentConfig::PRESETS {
        for name in ExperimentConfig::PRESETS {
            let wanted = ExperimentConfig::preset(name).expect("a preset");
            let text = format!("preset = \"{base}\"\n{}", wanted.to_toml().expect("TOML"));
            let found = ExperimentConfig::from_toml(&text, "my.toml").expect("a configuration");
            assert_eq!(found, wanted, "{name} over {base}");
        }
    }
}
