//! Which configurations are refused, and what a file of one may say.

use cola_video_vae::{ConfigError, ImageConfig, TemporalConfig, VideoVaeConfig};

fn refusal(change: impl Fn(&mut VideoVaeConfig)) -> ConfigError {
    let mut config = VideoVaeConfig::tiny();
    change(&mut config);
    config.check().expect_err("refused")
}

#[test]
fn presets_are_possible() {
    for config in [VideoVaeConfig::open_sora_v1_2(), VideoVaeConfig::tiny()] {
        assert_eq!(config.check(), Ok(()));
        assert_eq!((config.spatial_vae.factor(), config.temporal_vae.time_factor()), (8, 4));
    }
}

#[test]
fn a_size_beyond_any_model_names_its_field_and_its_bound() {
    type Change = fn(&mut VideoVaeConfig);
    let cases: [(Change, &str); 8] = [
        (|c| c.temporal_vae.filters = usize::MAX, "temporal_vae.filters"),
        (|c| c.temporal_vae.num_res_blocks = 1_000_000_000, "temporal_vae.num_res_blocks"),
        (|c| c.temporal_vae.channel_multipliers[1] = 1 << 62, "temporal_vae.channel_multipliers"),
        (|c| c.temporal_vae.micro_frame_size = usize::MAX, "temporal_vae.micro_frame_size"),
        (
            |c| c.temporal_vae.channel_multipliers = vec![1; 70],
            "the number of entries of temporal_vae.channel_multipliers",
        ),
        (|c| c.spatial_vae.layers_per_block = usize::MAX, "spatial_vae.layers_per_block"),
        (|c| c.spatial_vae.block_out_channels[0] = 1 << 40, "spatial_vae.block_out_channels"),
        (
            |c| c.spatial_vae.block_out_channels = vec![2; 65],
            "the number of entries of spatial_vae.block_out_channels",
        ),
    ];
    for (change, name) in cases {
        let error = refusal(change);
        assert!(matches!(error, ConfigError::TooLarge { field, .. } if field == name), "{error}");
        assert!(error.to_string().contains("at most"), "{error}");
    }
    for (change, name) in [
        ((|c| c.temporal_vae.norm_eps = -1.0) as Change, "temporal_vae.norm_eps"),
        (|c| c.spatial_vae.norm_eps = f64::NAN, "spatial_vae.norm_eps"),
    ] {
        assert!(matches!(refusal(change), ConfigError::Number { field, .. } if field == name));
    }
}

#[test]
fn impossible_temporal_sizes_are_refused_by_field() {
    let refusal = |change: fn(&mut TemporalConfig)| refusal(|config| change(&mut config.temporal_vae));
    assert_eq!(refusal(|c| c.filters = 0), ConfigError::Zero { field: "temporal_vae.filters" });
    assert_eq!(
        refusal(|c| c.channel_multipliers.clear()),
        ConfigError::Zero { field: "temporal_vae.channel_multipliers" }
    );
    assert_eq!(refusal(|c| c.temporal_downsample.clear()), ConfigError::Steps { found: 0, levels: 4 });
    assert!(matches!(refusal(|c| c.num_groups = 3), ConfigError::Multiple { found: 4, unit: 3, .. }));
}

#[test]
fn impossible_image_sizes_are_refused_by_field() {
    let refusal = |change: fn(&mut ImageConfig)| refusal(|config| change(&mut config.spatial_vae));
    for change in [
        |c: &mut ImageConfig| c.block_out_channels.clear(),
        |c: &mut ImageConfig| c.block_out_channels[2] = 0,
    ] {
        assert_eq!(refusal(change), ConfigError::Zero { field: "spatial_vae.block_out_channels" });
    }
    assert_eq!(
        refusal(|c| c.layers_per_block = 0),
        ConfigError::Zero { field: "spatial_vae.layers_per_block" }
    );
    assert!(matches!(refusal(|c| c.norm_num_groups = 3), ConfigError::Multiple { found: 4, unit: 3, .. }));
    for factor in [0.0, -1.0, f64::NAN] {
        let mut config = ImageConfig::tiny();
        config.scaling_factor = factor;
        assert!(matches!(
            config.check(),
            Err(ConfigError::Number { field: "spatial_vae.scaling_factor", .. })
        ));
    }
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let field = |change: fn(&mut VideoVaeConfig)| match refusal(change) {
        ConfigError::Unequal { field, .. }
        | ConfigError::Number { field, .. }
        | ConfigError::Zero { field } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(|c| c.spatial_vae.latent_channels = 8), "temporal_vae.in_out_channels");
    assert_eq!(field(|c| c.shift.push(0.0)), "the number of entries of shift");
    assert_eq!(field(|c| c.scale.clear()), "the number of entries of scale");
    assert_eq!(field(|c| c.shift[1] = f64::INFINITY), "shift");
    assert_eq!(field(|c| c.scale[3] = 0.0), "scale");
    assert_eq!(field(|c| c.micro_batch = 0), "micro_batch");
}

#[test]
fn a_file_may_not_say_more_than_the_configuration_knows() {
    let config = VideoVaeConfig::open_sora_v1_2();
    let text = serde_json::to_string(&config).expect("a configuration is JSON");
    assert_eq!(serde_json::from_str::<VideoVaeConfig>(&text).expect("and back"), config);
    for (place, word) in
        [("{", "micro"), ("{\"block_out_channels\"", "groups"), ("{\"in_out_channels\"", "filter")]
    {
        let more = text.replacen(place, &format!("{{\"{word}\": 3, {}", &place[1..]), 1);
        let error = serde_json::from_str::<VideoVaeConfig>(&more).expect_err("refused").to_string();
        assert!(error.contains(&format!("`{word}`")), "{error}");
    }
}
