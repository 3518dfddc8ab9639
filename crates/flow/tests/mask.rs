//! Frame masks: each pattern's frames, how often each comes, and what must never be drawn.

use candle_core::{Device, Result};
use cola_flow::{ConfigError, MaskConfig};
use proptest::prelude::*;

const PRESETS: [fn() -> MaskConfig; 3] =
    [MaskConfig::stages_1_and_2, MaskConfig::stage_3, MaskConfig::adaptation];

/// A configuration that only ever draws one pattern.
fn only(pattern: impl FnOnce(&mut MaskConfig)) -> MaskConfig {
    let mut config = MaskConfig::none();
    pattern(&mut config);
    config
}

/// A row as text, `.` for a given frame and `x` for one to generate; the second and the other draws as told.
fn shown(config: &MaskConfig, frames: usize, size: f32, places: f32) -> String {
    let mut draws = vec![places; frames + 2];
    (draws[0], draws[1]) = (0.5, size);
    let row = config.row_with(frames, &draws).unwrap();
    row.iter().map(|&generated| if generated { 'x' } else { '.' }).collect()
}

#[test]
fn images_are_single_frames_at_their_place() {
    assert_eq!(shown(&only(|mask| mask.image_head = 1.0), 5, 0.9, 0.9), ".xxxx");
    assert_eq!(shown(&only(|mask| mask.image_tail = 1.0), 5, 0.9, 0.9), "xxxx.");
    assert_eq!(shown(&only(|mask| mask.image_head_tail = 1.0), 5, 0.9, 0.9), ".xxx.");
    let anywhere = only(|mask| mask.image_random = 1.0);
    let places = [0.0, 0.39, 0.41, 0.999].map(|place| shown(&anywhere, 5, 0.9, place));
    assert_eq!(places, [".xxxx", "x.xxx", "xx.xx", "xxxx."]);
}

#[test]
fn quarters_are_spans_of_one_to_a_quarter_of_the_frames() {
    let head = only(|mask| mask.quarter_head = 1.0);
    let lengths = [0.0, 0.34, 0.67, 0.999].map(|size| shown(&head, 12, size, 0.0));
    assert_eq!(lengths, [".xxxxxxxxxxx", "..xxxxxxxxxx", "...xxxxxxxxx", "...xxxxxxxxx"]);
    assert_eq!(shown(&only(|mask| mask.quarter_tail = 1.0), 8, 0.9, 0.0), "xxxxxx..");
    assert_eq!(shown(&only(|mask| mask.quarter_head_tail = 1.0), 8, 0.9, 0.0), "..xxxx..");
    let anywhere = only(|mask| mask.quarter_random = 1.0);
    let places = [0.0, 0.5, 0.999].map(|place| shown(&anywhere, 8, 0.9, place));
    assert_eq!(places, ["..xxxxxx", "xxx..xxx", "xxxxxx.."]);
}

#[test]
fn interpolation_gives_every_second_frame_from_either_start() {
    let config = only(|mask| mask.interpolate = 1.0);
    assert_eq!([shown(&config, 5, 0.0, 0.0), shown(&config, 5, 0.9, 0.0)], [".x.x.", "x.x.x"]);
}

#[test]
fn random_frames_are_given_below_the_clips_probability() {
    let config = only(|mask| mask.random = 1.0);
    // The clip's probability is 0.1 + 0.8 / 2.
    let draws = [0.5, 0.5, 0.49, 0.51, 0.0, 0.99];
    assert_eq!(config.row_with(4, &draws).unwrap(), [false, true, false, true]);
    assert_eq!(shown(&config, 4, 0.0, 0.0), "...x", "all given: the last is generated");
}

#[test]
fn short_clips_keep_a_frame_to_generate() {
    assert_eq!(shown(&only(|mask| mask.image_head_tail = 1.0), 2, 0.0, 0.0), ".x");
    assert_eq!(shown(&only(|mask| mask.quarter_head = 1.0), 3, 0.999, 0.0), ".xx");
    assert_eq!(shown(&only(|mask| mask.image_head = 1.0), 1, 0.0, 0.0), "x");
    assert_eq!(shown(&only(|mask| mask.image_head = 1.0), 0, 0.0, 0.0), "");
}

#[test]
fn patterns_come_as_often_as_configured() -> Result<()> {
    let samples: Vec<u64> = (0..20_000).collect();
    let config = MaskConfig { random: 0.0, ..MaskConfig::adaptation() };
    let given = config.draw(12, 3, 0, &samples, &Device::Cpu)?;
    let rows = given.generated().to_vec2::<f32>()?;
    let part = |wanted: &str| {
        let wanted: Vec<f32> = wanted.bytes().map(|frame| if frame == b'x' { 1.0 } else { 0.0 }).collect();
        rows.iter().filter(|row| **row == wanted).count() as f64 / samples.len() as f64
    };
    // A third of each quarter pattern is one frame long; one in twelve or ten of those anywhere is at the head.
    let head = 0.1 + 0.01 / 3.0 + 0.05 / 12.0 + 0.01 / 36.0;
    let cases = [
        ("xxxxxxxxxxxx", 1.0 - 0.3),
        (".xxxxxxxxxxx", head),
        ("xxxxxxxxxxx.", head - 0.05),
        (".xxxxxxxxxx.", 0.05 + 0.01 / 3.0),
        ("xxxxx.xxxxxx", 0.05 / 12.0 + 0.01 / 36.0),
        (".x.x.x.x.x.x", 0.005),
        ("...xxxxxx...", 0.01 / 3.0),
    ];
    for (row, expected) in cases {
        let found = part(row);
        let spread = (expected * (1.0 - expected) / samples.len() as f64).sqrt();
        assert!((found - expected).abs() < 4.5 * spread, "{row}: {found} of the clips, expected {expected}");
    }
    Ok(())
}

#[test]
fn the_presets_are_open_soras() {
    let left = PRESETS.map(|preset| {
        let MaskConfig {
            random,
            interpolate,
            quarter_random,
            quarter_head,
            quarter_tail,
            quarter_head_tail,
            image_random,
            image_head,
            image_tail,
            image_head_tail,
        } = preset();
        assert_eq!([quarter_random, quarter_head, quarter_tail], [quarter_head_tail; 3]);
        preset().check().unwrap();
        [random, interpolate, quarter_head, image_random, image_head, image_tail, image_head_tail]
    });
    assert_eq!(left[0], [0.05, 0.005, 0.005, 0.025, 0.05, 0.025, 0.025]);
    assert_eq!(left[1], [0.01, 0.002, 0.002, 0.0, 0.22, 0.005, 0.005]);
    assert_eq!(left[2], [0.2, 0.01, 0.01, 0.05, 0.1, 0.05, 0.05]);
}

#[test]
fn impossible_probabilities_are_refused() {
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let config = MaskConfig { image_head: wrong, ..MaskConfig::none() };
        let error = config.check().unwrap_err();
        assert!(matches!(error, ConfigError::Probability { field: "image_head", .. }), "{error}");
        assert!(error.to_string().contains("0..=1"), "{error}");
    }
    let error = MaskConfig { random: 0.6, image_head: 0.5, ..MaskConfig::none() }.check().unwrap_err();
    assert!(matches!(error, ConfigError::Sum { found } if (found - 1.1).abs() < 1e-12), "{error}");
    // Ten tenths are more than 1 by rounding.
    let each = [0.1; 10];
    let config = MaskConfig {
        random: each[0],
        interpolate: each[1],
        quarter_random: each[2],
        quarter_head: each[3],
        quarter_tail: each[4],
        quarter_head_tail: each[5],
        image_random: each[6],
        image_head: each[7],
        image_tail: each[8],
        image_head_tail: each[9],
    };
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn a_wrong_number_of_draws_is_refused() {
    for count in [0, 1, 4, 6] {
        let error = MaskConfig::stage_3().row_with(3, &vec![0.0; count]).unwrap_err().to_string();
        assert!(error.contains(&format!("{count} draws for a mask of 3 frames")), "{error}");
    }
}

#[test]
fn configurations_survive_being_written_and_refuse_unknown_patterns() {
    let text = toml::to_string(&MaskConfig::stage_3()).unwrap();
    assert_eq!(toml::from_str::<MaskConfig>(&text).unwrap(), MaskConfig::stage_3());
    assert!(toml::from_str::<MaskConfig>(&format!("{text}\nintepolate = 0.1")).is_err());
}

proptest! {
    #[test]
    fn no_mask_gives_every_frame(frames in 1..20usize, preset in 0..3usize, seed: u64, draws in prop::collection::vec(0.0..1.0f32, 21)) {
        let config = PRESETS[preset]();
        // Scaled so that some pattern is always picked.
        let mut draws = draws[..frames + 2].to_vec();
        draws[0] *= 0.25;
        let row = config.row_with(frames, &draws).unwrap();
        prop_assert!(row.len() == frames && row.contains(&true));
        prop_assert!(frames > 1 || row == [true]);
        let given = config.draw(frames, seed, 0, &[1, 2, 3], &Device::Cpu).unwrap();
        let generated = given.generated().to_vec2::<f32>().unwrap();
        prop_assert!(generated.iter().all(|row| row.len() == frames && row.contains(&1.0)));
    }

    #[test]
    fn masks_depend_on_the_sample_not_on_the_batch(seed: u64, step: u64, sample: u64) {
        let config = MaskConfig { random: 1.0, ..MaskConfig::none() };
        let rows = |step, samples: &[u64]| {
            config.draw(64, seed, step, samples, &Device::Cpu).unwrap().generated().to_vec2::<f32>().unwrap()
        };
        let batch = rows(step, &[sample.wrapping_add(1), sample]);
        prop_assert_eq!(&batch[1], &rows(step, &[sample])[0]);
        prop_assert_ne!(&batch[1], &batch[0]);
        prop_assert_ne!(&batch[1], &rows(step.wrapping_add(1), &[sample])[0]);
    }

    #[test]
    fn draws_at_the_edge_stay_within_the_clip(frames in 2..40usize, pattern in 0..10usize) {
        let mut shares = [0.0; 10];
        shares[pattern] = 1.0;
        let [random, interpolate, quarter_random, quarter_head, quarter_tail, rest @ ..] = shares;
        let [quarter_head_tail, image_random, image_head, image_tail, image_head_tail] = rest;
        let config = MaskConfig {
            random, interpolate, quarter_random, quarter_head, quarter_tail, quarter_head_tail,
            image_random, image_head, image_tail, image_head_tail,
        };
        for draw in [0.0, 1.0 - f32::EPSILON / 2.0] {
            let mut draws = vec![draw; frames + 2];
            draws[0] = 0.0;
            let row = config.row_with(frames, &draws).unwrap();
            let given = row.iter().filter(|&&generated| !generated).count();
            let most = match pattern {
                0 => frames - 1,
                1 => frames.div_ceil(2),
                2..=4 => (frames / 4).max(1),
                5 => (frames / 4 * 2).clamp(2, frames).min(frames - 1),
                9 => 2.min(frames - 1),
                _ => 1,
            };
            prop_assert!(given <= most, "{row:?}");
            prop_assert!(given > 0 || pattern == 0);
        }
    }
}
