//! Runs that a machine cannot hold.

use cola_coevolve::{Error, ExperimentConfig, Machine, Outlook};

const GIB: u64 = 1 << 30;

fn refused(config: &ExperimentConfig, available: u64, clips: u64) -> Option<cola_coevolve::Refusal> {
    let machine = Machine { available: Some(available), resident: None };
    match Outlook::of(config, clips).expect("an outlook").check(config, &machine, clips) {
        Ok(()) => None,
        Err(Error::Memory(refusal)) => Some(*refusal),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_papers_sizes_do_not_fit_into_16_gib_and_tiny_does() {
    let refusal = refused(&ExperimentConfig::paper(), 16 * GIB, 0).expect("too much");
    let text = refusal.to_string();
    assert!(refusal.memory.total() > 16 * GIB);
    assert!(text.contains("16.0 GiB are available"), "{text}");
    assert_eq!(refused(&ExperimentConfig::tiny(), 16 * GIB, 0), None);
}

#[test]
fn a_machine_that_does_not_tell_refuses_nothing() {
    let config = ExperimentConfig::paper();
    let machine = Machine { available: None, resident: None };
    Outlook::of(&config, 0).expect("an outlook").check(&config, &machine, 0).expect("no refusal");
}

#[test]
fn the_settings_named_are_those_that_help_the_best_one_first_and_they_do_what_is_said() {
    let mut config = ExperimentConfig::tiny();
    config.data.batch = 4096;
    let refusal = refused(&config, GIB, 0).expect("too much");
    let names: Vec<&str> = refusal.mends.iter().map(|(setting, _)| setting.as_str()).collect();
    for expected in
        ["compute.recompute=true", "compute.dtype=\"bf16\"", "data.accumulate=4", "data.batch=1024"]
    {
        assert!(names.contains(&expected), "{names:?}");
    }
    assert!(refusal.mends.is_sorted_by_key(|(_, needed)| *needed));
    for (setting, needed) in &refusal.mends {
        let changed = config.with(setting).expect("a setting");
        assert_eq!(Outlook::of(&changed, 0).expect("an outlook").peak().1.total(), *needed, "{setting}");
        assert!(*needed < refusal.memory.total());
    }
    assert!(refusal.to_string().contains(&format!("--set {}", names[0])));
}

#[test]
fn frames_in_memory_are_named_where_they_are_the_most() {
    let config = ExperimentConfig::tiny();
    let refusal = refused(&config, GIB, 3 * GIB).expect("too much");
    assert_eq!(refusal.memory.largest().0, "clips");
    assert_eq!(refusal.mends.first().map(|(setting, _)| setting.as_str()), Some("data.memory=0"));
}

#[test]
fn a_model_that_no_setting_makes_smaller_is_said_to_be_too_large() {
    let mut config = ExperimentConfig::tiny();
    (config.compute.recompute, config.data.batch, config.evaluation.batch) = (true, 1, 1);
    config.compute.dtype = cola_nn::Precision::Bf16;
    let text = refused(&config, 1, 0).expect("too much").to_string();
    assert!(text.contains("no setting helps"), "{text}");
}

#[test]
fn every_part_of_a_batch_and_the_average_are_counted() {
    let plain = ExperimentConfig::tiny();
    let total = |config: &ExperimentConfig| Outlook::of(config, 0).expect("an outlook").phases[2].memory;
    let parts = plain.with("data.accumulate=4").expect("a setting");
    let averaged = plain.with("optimizer.average=0.999").expect("a setting");
    assert!(total(&parts).activations < total(&plain).activations / 3);
    assert_eq!(total(&plain).average, 0);
    let world = ["action", "backbone"]
        .map(|name| Outlook::of(&plain, 0).expect("an outlook").part(name).map_or(0, |part| part.parameters));
    assert_eq!(total(&averaged).average, 4 * (world[0] + world[1]));
}
