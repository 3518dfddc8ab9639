//! Presets, checks, what a file may say.

use cola_lam::{ConfigError, LamConfig, Readout};

#[test]
fn both_presets_pass_their_own_check() {
    assert_eq!(LamConfig::paper().check(), Ok(()));
    assert_eq!(LamConfig::tiny().check(), Ok(()));
}

#[test]
fn the_paper_has_256_patches_and_actions_of_64_numbers() {
    let config = LamConfig::paper();
    assert_eq!((config.patches(), config.patch_values(), config.action_dim()), (256, 588, 64));
}

#[test]
fn a_clash_names_both_numbers() {
    let message = |change: fn(&mut LamConfig)| {
        let mut config = LamConfig::tiny();
        change(&mut config);
        config.check().expect_err("an impossible configuration").to_string()
    };
    for (text, parts) in [
        (message(|c| c.heads = 5), ["`heads` = 5", "`dim` = 64"]),
        (message(|c| c.map_heads = 0), ["`map_heads` = 0", "`dim` = 64"]),
        (message(|c| c.fdm_heads = 7), ["`fdm_heads` = 7", "`dim` = 64"]),
        (message(|c| c.patch = 7), ["`patch` = 7", "`image` = 32"]),
        (message(|c| c.max_frames = 1), ["`max_frames` = 1", "at least 2"]),
        (message(|c| c.codes = 1 << 25), ["`codes` = 33554432", "at most 16777216"]),
        (
            message(|c| (c.dim, c.heads, c.map_heads, c.fdm_heads) = (6, 3, 3, 3)),
            ["`dim` = 6", "multiple of 4"],
        ),
        (message(|c| c.commitment_weight = f64::NAN), ["`commitment_weight` = NaN", "finite"]),
        (message(|c| c.codebook_weight = -1.0), ["`codebook_weight` = -1", "not negative"]),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_clash_can_be_told_apart_by_code() {
    let config = LamConfig { tokens: 0, ..LamConfig::tiny() };
    assert_eq!(config.check(), Err(ConfigError::Least { name: "tokens", value: 0, least: 1 }));
}

#[test]
fn the_prompt_reading_has_no_pooling_heads_to_check() {
    let config = LamConfig { readout: Readout::Prompt, map_heads: 5, ..LamConfig::tiny() };
    assert_eq!(config.check(), Ok(()));
    assert!(LamConfig { readout: Readout::Mean, ..config.clone() }.check().is_err());
    let text = serde_json::to_string(&config).expect("a plain struct");
    assert!(text.contains(r#""readout":"prompt""#), "{text}");
}

#[test]
fn a_configuration_survives_its_file_and_a_foreign_key_does_not() {
    let text = serde_json::to_string(&LamConfig::tiny()).expect("a plain struct");
    assert!(text.contains(r#""readout":"difference""#) && text.contains(r#""code_init":"data""#), "{text}");
    assert_eq!(serde_json::from_str::<LamConfig>(&text).expect("its own text"), LamConfig::tiny());
    let foreign = text.replacen('{', r#"{"colour":1,"#, 1);
    let refusal = serde_json::from_str::<LamConfig>(&foreign).expect_err("an unknown key").to_string();
    assert!(refusal.contains("colour"), "{refusal}");
}
