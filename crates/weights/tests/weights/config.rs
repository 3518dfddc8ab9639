//! A published configuration: what is known, what is not, what is wrong.

use cola_weights::{Error, read_config};
use serde::Deserialize;

use crate::support::folder;

#[derive(Debug, PartialEq, Deserialize)]
struct Config {
    hidden_size: usize,
    #[serde(default)]
    qk_norm: bool,
    vae: Vae,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Vae {
    scale: f64,
}

fn read(text: &str) -> Result<(Config, Vec<String>), Error> {
    let folder = folder();
    std::fs::write(folder.path().join("config.json"), text).expect("a writable folder");
    read_config(folder.path())
}

#[test]
fn unknown_fields_are_listed_with_their_path() {
    let text = r#"{"hidden_size": 8, "model_type": "x", "vae": {"scale": 0.5, "micro": {"a": 1}}}"#;
    let (config, unknown) = read(text).expect("all that is needed");
    assert_eq!(config, Config { hidden_size: 8, qk_norm: false, vae: Vae { scale: 0.5 } });
    assert_eq!(unknown, ["model_type", "vae.micro"]);
}

#[test]
fn a_file_has_the_configuration_beside_it() {
    let folder = folder();
    let weights = folder.path().join("model.safetensors");
    std::fs::write(&weights, "").expect("a writable folder");
    std::fs::write(folder.path().join("config.json"), r#"{"hidden_size": 8, "vae": {"scale": 1}}"#)
        .expect("a writable folder");
    let (config, _) = read_config::<Config>(&weights).expect("the one beside it");
    assert_eq!(config.hidden_size, 8);
}

#[test]
fn a_wrong_field_is_named_with_found_and_expected() {
    for (text, expected) in [
        (
            r#"{"hidden_size": "8", "vae": {"scale": 1}}"#,
            "field `hidden_size`: invalid type: string \"8\", expected usize",
        ),
        (
            r#"{"hidden_size": -8, "vae": {"scale": 1}}"#,
            "field `hidden_size`: invalid value: integer `-8`, expected usize",
        ),
        (
            r#"{"hidden_size": 8, "vae": {"scale": null}}"#,
            "field `vae.scale`: invalid type: null, expected f64",
        ),
        (r#"{"hidden_size": 8}"#, "field `.`: missing field `vae`"),
        ("", "field `.`: EOF while parsing"),
        (r#"{"hidden_size": 8, "vae": {"scale": 1}} x"#, "field `.`: trailing characters"),
    ] {
        let found = read(text).expect_err(text).to_string();
        assert!(found.contains(expected) && found.contains("config.json: "), "{found}");
    }
}

#[test]
fn a_configuration_that_is_absent_is_said_with_its_path() {
    let folder = folder();
    let text = read_config::<Config>(folder.path()).expect_err("nothing there").to_string();
    assert!(text.contains("config.json: opening failed"), "{text}");
}
