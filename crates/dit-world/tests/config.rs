//! Presets, checks, what a file may say.

use cola_dit_world::{ActionConfig, CodecConfig, ConfigError, DitConfig, TextConfig};

fn refusal(change: fn(&mut DitConfig)) -> ConfigError {
    let mut config = DitConfig::tiny();
    change(&mut config);
    config.check().expect_err("an impossible configuration")
}

#[test]
fn the_presets_pass_their_own_check() {
    assert_eq!(DitConfig::open_sora_v1_2().check(), Ok(()));
    assert_eq!(DitConfig::paper().check(), Ok(()));
    assert_eq!(DitConfig::tiny().check(), Ok(()));
}

#[test]
fn a_published_model_has_twice_the_output_channels() {
    assert_eq!((DitConfig::paper().in_channels, DitConfig::paper().out_channels()), (4, 8));
    assert_eq!(DitConfig::tiny().out_channels(), DitConfig::tiny().in_channels);
}

#[test]
fn a_clash_names_field_value_and_unit() {
    for (error, parts) in [
        (refusal(|c| c.hidden_size = 98), ["dit.hidden_size is 98", "multiple of 4", "grid positions"]),
        (refusal(|c| c.num_heads = 5), ["dit.hidden_size is 96", "multiple of 10", "rotary"]),
        (refusal(|c| c.num_heads = 96), ["dit.hidden_size is 96", "multiple of 192", "rotary"]),
        (refusal(|c| c.action.heads = 7), ["dit.action.width is 96", "multiple of 14", "rotary"]),
        (refusal(|c| c.action.width = 100), ["dit.action.width is 100", "multiple of 8", "rotary"]),
    ] {
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_clash_can_be_told_apart_by_code() {
    assert_eq!(refusal(|c| c.depth = 0), ConfigError::Zero { field: "dit.depth" });
    assert!(matches!(
        refusal(|c| c.num_heads = 5),
        ConfigError::Multiple { field: "dit.hidden_size", found: 96, unit: 10, .. }
    ));
}

#[test]
fn a_size_of_zero_names_its_field() {
    type Change = fn(&mut DitConfig);
    let cases: [(Change, &str); 13] = [
        (|c| c.in_channels = 0, "dit.in_channels"),
        (|c| c.patch = 0, "dit.patch"),
        (|c| c.hidden_size = 0, "dit.hidden_size"),
        (|c| c.depth = 0, "dit.depth"),
        (|c| c.num_heads = 0, "dit.num_heads"),
        (|c| c.mlp_ratio = 0, "dit.mlp_ratio"),
        (|c| c.input_sq_size = 0, "dit.input_sq_size"),
        (|c| c.action.action_dim = 0, "dit.action.action_dim"),
        (
            |c| c.text = Some(TextConfig { caption_channels: 0, model_max_length: 1 }),
            "dit.text.caption_channels",
        ),
        (
            |c| c.text = Some(TextConfig { caption_channels: 1, model_max_length: 0 }),
            "dit.text.model_max_length",
        ),
        (|c| c.action.width = 0, "dit.action.width"),
        (|c| c.action.heads = 0, "dit.action.heads"),
        (|c| c.action.mlp_ratio = 0, "dit.action.mlp_ratio"),
    ];
    for (change, field) in cases {
        let error = refusal(change);
        assert_eq!(error, ConfigError::Zero { field });
        assert_eq!(error.to_string(), format!("{field} is 0; it must be at least 1"));
    }
}

#[test]
fn a_size_beyond_any_model_names_its_field_and_its_bound() {
    type Change = fn(&mut DitConfig);
    let cases: [(Change, &str); 8] = [
        (|c| c.depth = 1_000_000_000, "dit.depth"),
        (|c| c.hidden_size = 1 << 40, "dit.hidden_size"),
        (|c| c.num_heads = 1 << 63, "dit.num_heads"),
        (|c| c.patch = usize::MAX, "dit.patch"),
        (|c| c.in_channels = usize::MAX, "dit.in_channels"),
        (|c| c.action.layers = usize::MAX, "dit.action.layers"),
        (|c| c.action.heads = 1 << 63, "dit.action.heads"),
        (|c| c.action.mlp_ratio = 1 << 20, "dit.action.mlp_ratio"),
    ];
    for (change, name) in cases {
        let error = refusal(change);
        assert!(matches!(error, ConfigError::TooLarge { field, .. } if field == name), "{error}");
        assert!(error.to_string().contains("at most"), "{error}");
    }
}

#[test]
fn a_latent_frame_spans_one_frame_or_four() {
    for g in [0, 2, 3, 5, 8] {
        let mut config = DitConfig::tiny();
        config.action.frames_per_latent = g;
        let text = config.check().expect_err("no such VAE").to_string();
        let parts = ["dit.action.frames_per_latent", &format!("is {g};"), "1 (", "or 4 ("];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let mut config = DitConfig::tiny();
    config.action.frames_per_latent = 4;
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn an_action_module_without_blocks_is_a_plain_mlp_and_allowed() {
    let tiny = DitConfig::tiny();
    let config = DitConfig { action: ActionConfig { layers: 0, ..tiny.action.clone() }, ..tiny };
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn a_configuration_survives_its_file_and_a_foreign_key_does_not() {
    for config in [DitConfig::open_sora_v1_2(), DitConfig::paper()] {
        let text = serde_json::to_string(&config).expect("a plain struct");
        assert_eq!(serde_json::from_str::<DitConfig>(&text).expect("its own text"), config);
    }
    let text = serde_json::to_string(&DitConfig::paper()).expect("a plain struct");
    for (place, with) in [("{", "{\"colour\":1,"), ("\"action\":{", "\"action\":{\"colour\":1,")] {
        let foreign = text.replacen(place, with, 1);
        let refusal = serde_json::from_str::<DitConfig>(&foreign).expect_err("an unknown key").to_string();
        assert!(refusal.contains("colour"), "{refusal}");
    }
    let missing = text.replacen("\"depth\":28,", "", 1);
    let refusal = serde_json::from_str::<DitConfig>(&missing).expect_err("an absent key").to_string();
    assert!(refusal.contains("depth"), "{refusal}");
}

#[test]
fn a_codec_configuration_refuses_a_foreign_key() {
    let read = serde_json::from_str::<CodecConfig>;
    let config = read(r#"{"factor":8,"whiten":0.5}"#).expect("both keys");
    assert_eq!(config, CodecConfig { factor: 8, whiten: 0.5 });
    let refusal = read(r#"{"factor":8,"whiten":0.5,"colour":1}"#).expect_err("an unknown key").to_string();
    assert!(refusal.contains("colour"), "{refusal}");
}
