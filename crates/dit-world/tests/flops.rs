//! Operations of a forward pass, against an operator-level count of the reference at 256 x 256 pixels.

use cola_dit_world::{DitConfig, Workload};

#[test]
fn operations_of_both_forms() {
    // (latent frames, reference form with 300 text tokens, paper form), in 1e12.
    for (frames, reference, paper) in [
        (1, 0.6539, 0.4651),
        (2, 1.2150, 0.9303),
        (4, 2.3374, 1.8609),
        (5, 2.8987, 2.3263),
        (8, 4.5830, 3.7229),
        (10, 5.7063, 4.6543),
        (15, 8.5154, 6.9838),
        (16, 9.0775, 7.4500),
        (17, 9.6396, 7.9161),
    ] {
        for (config, expected) in [(DitConfig::open_sora_v1_2(), reference), (DitConfig::paper(), paper)] {
            let work = Workload { batch: 1, frames, height: 32, width: 32, text: 300 };
            let found = config.flops(work) as f64 / 1e12;
            assert!(
                (found - expected).abs() < 0.5e-4 + 1e-9,
                "{frames} frames: {found}, expected {expected}"
            );
            assert_eq!(config.flops(Workload { batch: 3, ..work }), 3 * config.flops(work));
        }
    }
}
