//! Times: distribution, shift and grid against values anyone can check by hand.

use cola_flow::{Shift, TimeConfig, TimeDistribution, VideoSize, logit_normal, transform};
use proptest::prelude::*;

fn size(height: usize, width: usize, frames: usize, latent_frames: usize) -> VideoSize {
    VideoSize { height, width, frames, latent_frames }
}

fn uniform(shift: Shift) -> TimeConfig {
    TimeConfig { distribution: TimeDistribution::Uniform, shift }
}

#[test]
fn both_rules_by_resolution_agree_on_one_frame_and_on_whole_chunks() {
    for (frames, latent_frames) in [(1, 1), (17, 5), (34, 10), (51, 15), (102, 30)] {
        let size = size(240, 426, frames, latent_frames);
        assert_eq!(Shift::OpenSora(0.6).ratio(size), Shift::Resolution(0.6).ratio(size));
    }
    assert_eq!(TimeConfig::open_sora_v1_2().ratio(size(256, 256, 1, 1)), 0.5);
    assert!((TimeConfig::open_sora_v1_2().ratio(size(256, 256, 17, 5)) - 1.1180).abs() < 1e-4);
}

#[test]
fn the_published_rule_drops_what_is_behind_the_last_whole_chunk() {
    let ratio = |frames| Shift::OpenSora(1.0).ratio(size(512, 512, frames, 3));
    assert_eq!([ratio(16), ratio(17), ratio(33), ratio(34)], [0.0, 5f64.sqrt(), 5f64.sqrt(), 10f64.sqrt()]);
}

#[test]
fn the_published_rule_turns_short_clips_to_time_0_and_1000_stays() {
    let time = uniform(Shift::OpenSora(1.0));
    for frames in 2..=16 {
        let ratio = time.ratio(size(256, 256, frames, frames));
        assert_eq!(time.draw_with(ratio, &[0.0, 0.5, 0.999_999]), [0.0; 3]);
        assert_eq!(time.grid(4, ratio), [1000.0, 0.0, 0.0, 0.0]);
        assert_ne!(Shift::Resolution(1.0).ratio(size(256, 256, frames, frames)), 0.0);
    }
}

#[test]
fn the_grid_starts_at_1000_exactly_and_falls() {
    for shift in [Shift::None, Shift::Fixed(6.0), Shift::Resolution(1.0), Shift::OpenSora(1.0)] {
        let time = uniform(shift);
        let grid = time.grid(10, time.ratio(size(32, 64, 17, 5)));
        assert_eq!((grid.len(), grid[0]), (10, 1000.0));
        assert!(grid.windows(2).all(|pair| pair[0] > pair[1] && pair[1] > 0.0));
    }
    assert!((uniform(Shift::None).grid(10, 1.0)[3] - 700.0).abs() < 1e-9);
}

#[test]
fn drawn_times_depend_on_the_sample_not_on_the_batch() {
    for distribution in [TimeDistribution::Uniform, TimeDistribution::LogitNormal] {
        let time = TimeConfig { distribution, shift: Shift::Fixed(6.0) };
        let batch = time.draw(6.0, 1, 5, &[10, 11, 12]);
        assert_eq!(batch[2], time.draw(6.0, 1, 5, &[12])[0]);
        assert_ne!(batch[2], time.draw(6.0, 1, 6, &[12])[0]);
        assert_ne!(batch[2], time.draw(6.0, 2, 5, &[12])[0]);
    }
}

#[test]
fn drawn_times_have_the_quantiles_of_their_distribution() {
    let samples: Vec<u64> = (0..4000).collect();
    // A quarter of all standard normal numbers lies below -0.6745, and so on; the shift is monotonic.
    let quarters = [0.25, 0.5, 0.75];
    let logit = [-0.6745, 0.0, 0.6745].map(|normal| logit_normal(normal, 0.0, 1.0) / 1000.0);
    for (distribution, quantiles) in
        [(TimeDistribution::Uniform, quarters), (TimeDistribution::LogitNormal, logit)]
    {
        let time = TimeConfig { distribution, shift: Shift::Fixed(3.0) };
        let times = time.draw(3.0, 7, 0, &samples);
        for (part, u) in quarters.iter().zip(quantiles) {
            let limit = 1000.0 * 3.0 * u / (1.0 + 2.0 * u);
            let below = times.iter().filter(|&&t| f64::from(t) < limit).count() as f64 / 4000.0;
            assert!((below - part).abs() < 0.03, "{distribution:?}: {below} of the times below {limit}");
        }
    }
}

#[test]
fn extreme_normals_stay_within_the_times() {
    assert_eq!([logit_normal(-1e4, 0.0, 1.0), logit_normal(1e4, 0.0, 1.0)], [0.0, 1000.0]);
}

#[test]
fn configurations_are_written_as_before() {
    let read = |text: &str| toml::from_str::<TimeConfig>(text);
    let fixed = read("distribution = \"logit_normal\"\n[shift]\nfixed = 6.0").unwrap();
    assert_eq!(fixed, TimeConfig { distribution: TimeDistribution::LogitNormal, shift: Shift::Fixed(6.0) });
    assert_eq!(read("distribution = \"uniform\"\nshift = \"none\"").unwrap(), uniform(Shift::None));
    assert_eq!(
        read("distribution = \"uniform\"\nshift = { open_sora = 0.6 }").unwrap(),
        uniform(Shift::OpenSora(0.6))
    );
    assert!(read("distribution = \"uniform\"\nshift = \"none\"\nloc = 1.0").is_err());
}

proptest! {
    #[test]
    fn the_transform_rises_from_0_to_1000_within_them(a in 0.0..1000.0f64, b in 0.0..1000.0f64, ratio in 1e-3..1e3f64) {
        let (low, high) = (a.min(b), a.max(b));
        let (t, u) = (transform(low, ratio), transform(high, ratio));
        prop_assert!((0.0..=1000.0).contains(&t) && t <= u + 1e-9 && u <= 1000.0);
        prop_assert_eq!((transform(0.0, ratio), transform(1000.0, ratio)), (0.0, 1000.0));
        prop_assert_eq!((transform(-low, ratio), transform(1000.0 + high, ratio)), (0.0, 1000.0));
        // The inverse of a ratio undoes it.
        prop_assert!((transform(t, 1.0 / ratio) - low).abs() < 1e-6);
    }
}
