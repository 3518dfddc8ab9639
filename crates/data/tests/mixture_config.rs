//! Mixtures in a file: what is read, what is refused, the paper's groups.

use cola_data::{Error, Format, MixtureConfig, Preset};

const PAPER: &str = r#"
preset = "paper"

[[group]]
name = "oxe"

[[group.source]]
name = "bridge"
path = "/data/bridge"
weight = 2.0
rate = 5.0
open = { format = "rlds", action = "action/world_vector" }

[[group.source]]
name = "fractal"
path = "/data/fractal"
weight = 1.0
frame_stride = 3
camera = "image"
region = { top = 0.0, left = 0.25, height = 1.0, width = 0.5 }

[[group]]
name = "human"

[[group.source]]
name = "videos"
path = "/data/videos"
"#;

#[test]
fn a_file_says_everything_about_its_sources() {
    let config: MixtureConfig = toml::from_str(PAPER).unwrap();
    config.check().unwrap();
    let bridge = &config.group[0].source[0];
    assert_eq!((bridge.rate, bridge.open.format), (Some(5.0), Some(Format::Rlds)));
    assert_eq!(config.group[0].source[1].region.width, 0.5);
    let again: MixtureConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn the_weight_of_a_missing_group_is_spread_over_the_rest_and_told() {
    let config: MixtureConfig = toml::from_str(PAPER).unwrap();
    let found = config.weights().unwrap();
    assert!((found.weights[0] - 0.375).abs() < 1e-12 && (found.weights[1] - 0.625).abs() < 1e-12);
    let note = found.note.unwrap();
    assert!(note.contains("without agibot 20.0 %") && note.contains("oxe 37.5 %, human 62.5 %"), "{note}");

    let all = Preset::Paper.weights(&["human", "oxe", "agibot"]).unwrap();
    assert_eq!(all.note, None);
    for (weight, paper) in all.weights.iter().zip([0.5, 0.3, 0.2]) {
        assert!((weight - paper).abs() < 1e-12);
    }
}

#[test]
fn mistakes_are_refused_with_the_field_and_the_name() {
    let refused = |from: &str, to: &str, words: [&str; 2]| {
        assert!(PAPER.contains(from), "{from}");
        let config: MixtureConfig = toml::from_str(&PAPER.replacen(from, to, 1)).unwrap();
        let error = config.check().unwrap_err();
        assert!(matches!(error, Error::Setting { .. }));
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    refused("name = \"oxe\"", "name = \"oxen\"", ["group.name", "oxe, agibot, human"]);
    refused("name = \"human\"", "name = \"oxe\"", ["group.name", "`oxe`"]);
    refused("name = \"oxe\"", "name = \"oxe\"\nweight = 0.3", ["group.weight", "beside a preset"]);
    refused("preset = \"paper\"", "", ["group.weight", "none for `oxe`"]);
    refused("weight = 1.0", "", ["source weights", "`oxe`"]);
    refused("weight = 1.0", "weight = 0.0", ["weight", "`fractal`"]);
    refused("name = \"fractal\"", "name = \"bridge\"", ["group.source.name", "`bridge`"]);
    refused("rate = 5.0", "rate = 5.0\nframe_stride = 2", ["group.source.rate", "`oxe/bridge`"]);
    refused("rate = 5.0", "rate = -5.0", ["group.source.rate", "`oxe/bridge`"]);
    refused("frame_stride = 3", "frame_stride = 0", ["frame_stride", "`oxe/fractal`"]);
    refused("path = \"/data/videos\"", "path = \"\"", ["group.source.path", "`human/videos`"]);
    refused("width = 0.5", "width = 0.9", ["region", "0.9"]);
    assert!(toml::from_str::<MixtureConfig>("group = []").unwrap().check().is_err());
}

#[test]
fn a_misspelt_key_is_refused_at_every_level() {
    for (from, to) in [
        ("preset =", "presets ="),
        ("rate = 5.0", "hertz = 5.0"),
        ("format = \"rlds\"", "form = \"rlds\""),
        ("\"paper\"", "\"papers\""),
    ] {
        assert!(toml::from_str::<MixtureConfig>(&PAPER.replacen(from, to, 1)).is_err(), "{to}");
    }
}
