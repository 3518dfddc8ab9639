//! The configuration as it is printed for people.

use cola_coevolve::ExperimentConfig;

/// Keys that belong to a kind of shift, which the comment of `flow.time.shift` introduces.
const OF_KINDS: [&str; 3] = ["fixed", "resolution", "open_sora"];

#[test]
fn every_key_has_its_documentation_above_it() {
    for name in ExperimentConfig::PRESETS {
        let text = ExperimentConfig::preset(name).expect("a preset").to_explained_toml().expect("TOML");
        let mut section = "";
        let mut before = "";
        let mut keys = 0;
        for line in text.lines() {
            let key = line.split_once(" = ").map(|(key, _)| key).filter(|key| !key.starts_with([' ', '#']));
            if key.is_some_and(|key| !OF_KINDS.contains(&key)) || line.starts_with('[') {
                assert!(before.starts_with("# "), "{name}: `{line}` of `{section}` has no comment above it");
                keys += 1;
            }
            if line.starts_with('[') {
                section = line;
            }
            before = line;
        }
        assert!(keys > 120, "{keys} keys");
    }
}

#[test]
fn the_comments_are_the_fields_documentation_without_links() {
    let text = ExperimentConfig::tiny().to_explained_toml().expect("TOML");
    for part in [
        "# Seeds initial values, sample order, crops, noise, times and dropped actions.\nseed = 0\n",
        "# Largest global norm of all gradients of a step; 0 switches clipping off.\nclip = 1.0\n",
        "# Least share of the codes in use.\nutilization = 0.25\n",
        "# `E2E`.\n[phases.joint]\n",
        "see\n# `recompute`: the same gradients",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("`]"), "a link is left");
}

#[test]
fn the_printed_configuration_is_read_back_as_the_same() {
    for name in ExperimentConfig::PRESETS {
        let config = ExperimentConfig::preset(name).expect("a preset");
        let text = config.to_explained_toml().expect("TOML");
        assert_eq!(ExperimentConfig::from_toml(&text, "printed").expect("a configuration"), config, "{name}");
    }
}
