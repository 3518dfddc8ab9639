//! The loss before the first step.

use std::sync::Arc;

use candle_core::Device;
use cola_coevolve::{ExperimentConfig, FirstLosses, Run};
use cola_data::{ClipSource, DrawnConfig, DrawnWorld};

fn config(plan: &str) -> ExperimentConfig {
    let mut config = ExperimentConfig::toy();
    config.plan = plan.parse().expect("a plan");
    config.data.batch = 8;
    (config.lam.dim, config.lam.heads, config.lam.map_heads, config.lam.fdm_heads) = (16, 2, 2, 2);
    (config.dit.hidden_size, config.dit.num_heads, config.dit.depth) = (16, 2, 1);
    (config.dit.action.width, config.dit.action.heads, config.dit.action.layers) = (16, 2, 1);
    config
}

fn clips() -> Arc<dyn ClipSource> {
    let drawn = DrawnConfig { clips: 64, frames: 2, size: 16, ..DrawnConfig::tiny() };
    Arc::new(DrawnWorld::new(drawn, 5).expect("a drawn world"))
}

fn run(plan: &str) -> Run {
    let run = Run::new(&config(plan), &Device::Cpu).expect("a run");
    run.fit_codec(&clips()).expect("a codec");
    run
}

#[test]
fn a_generator_that_was_never_loaded_is_warned_of() {
    let run = run("WARM2+E2E2");
    let losses = run.first_losses(&clips()).expect("losses").expect("a world model");
    assert!((1.5..2.6).contains(&losses.nothing), "{losses:?}");
    assert!(losses.flow > 0.9 * losses.nothing, "{losses:?}");
    assert!(losses.warning().is_some_and(|warning| warning.contains("look unloaded")));
}

#[test]
fn a_generator_that_learned_is_not() {
    assert_eq!(FirstLosses { flow: 0.7, nothing: 2.0 }.warning(), None);
    assert!(FirstLosses { flow: f64::NAN, nothing: 2.0 }.warning().is_some());
}

#[test]
fn looking_at_the_first_loss_changes_no_parameter_and_gives_the_same_again() {
    let run = run("WARM2+E2E2");
    let bits = || -> Vec<Vec<f32>> {
        let vars = run.params().sets().into_iter().flat_map(|(_, params)| params.vars());
        vars.map(|(_, var)| var.flatten_all().and_then(|flat| flat.to_vec1()).expect("values")).collect()
    };
    let before = bits();
    let first = run.first_losses(&clips()).expect("losses");
    assert_eq!(run.first_losses(&clips()).expect("losses"), first);
    assert_eq!(bits(), before);
}

#[test]
fn plans_that_make_their_own_generator_or_have_none_are_not_judged() {
    for plan in ["PRE2+WARM2", "LAM2"] {
        assert_eq!(run(plan).first_losses(&clips()).expect("losses"), None, "{plan}");
    }
}
