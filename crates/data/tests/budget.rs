//! Broken clips: replaced within a budget, always by the same clips, counted once, refused beyond it.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::Device;
use cola_data::{
    Clip, ClipSource, CropConfig, DrawnConfig, DrawnWorld, Error, Failure, Feeder, FeederConfig, Group,
    Loader, LoaderConfig, Mixture, Source,
};

const CPU: &Device = &Device::Cpu;

/// A drawn world some of whose files cannot be read.
struct Damaged {
    world: DrawnWorld,
    broken: BTreeSet<usize>,
}

impl ClipSource for Damaged {
    fn len(&self) -> usize {
        self.world.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.world.frames_per_clip()
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        match self.broken.contains(&index) {
            true => Err(Error::Read {
                file: format!("{index}.mp4").into(),
                source: std::io::ErrorKind::PermissionDenied.into(),
            }),
            false => self.world.clip(index),
        }
    }
}

fn damaged(clips: usize, broken: impl IntoIterator<Item = usize>) -> Arc<dyn ClipSource> {
    let world = DrawnWorld::new(DrawnConfig { clips, size: 6, ..DrawnConfig::tiny() }, 1).unwrap();
    Arc::new(Damaged { world, broken: broken.into_iter().collect() })
}

/// 20 clips each, 2 and 3 of which are broken.
fn two() -> Arc<dyn ClipSource> {
    let source = |name: &str, clips| Source { name: name.into(), weight: None, clips };
    let sources = vec![source("a", damaged(20, [3, 7])), source("b", damaged(20, [0, 8, 19]))];
    Arc::new(Mixture::new(vec![Group { name: "g".into(), weight: 1.0, sources }]).unwrap())
}

fn loader(source: &Arc<dyn ClipSource>, budget: usize) -> Loader {
    let config =
        LoaderConfig { batch: 5, lam_size: 6, world_size: 6, crop: CropConfig::paper(), crops: 0, budget };
    Loader::new(source.clone(), config, 2).unwrap()
}

/// The clips of each step, or the error's text.
fn clips(loader: &Loader, step: u64) -> Result<Vec<usize>, String> {
    loader.batch(step, true, CPU).map(|batch| batch.clips).map_err(|error| error.to_string())
}

#[test]
fn a_broken_clip_is_replaced_by_another_of_its_share_whenever_it_comes() {
    let source = two();
    let whole: Arc<dyn ClipSource> = {
        let source = |name: &str| Source { name: name.into(), weight: None, clips: damaged(20, []) };
        let sources = vec![source("a"), source("b")];
        Arc::new(Mixture::new(vec![Group { name: "g".into(), weight: 1.0, sources }]).unwrap())
    };
    let (forwards, backwards, whole) = (loader(&source, 3), loader(&source, 3), loader(&whole, 0));
    let expected: Vec<_> = (0..24).map(|step| clips(&forwards, step).unwrap()).collect();
    let mut replaced = 0;
    for step in (0..24).rev() {
        let found = clips(&backwards, step).unwrap();
        assert_eq!(found, expected[step as usize], "step {step}");
        for (found, planned) in found.into_iter().zip(clips(&whole, step).unwrap()) {
            assert!(![3, 7, 20, 28, 39].contains(&found));
            match [3, 7, 20, 28, 39].contains(&planned) {
                true => replaced += 1,
                false => assert_eq!(found, planned, "a sound clip stays where it is"),
            }
            assert_eq!(found / 20, planned / 20, "of the same share");
        }
    }
    assert!(replaced >= 10, "{replaced}");
    assert_eq!(forwards.failures(), backwards.failures());
}

#[test]
fn failures_are_listed_once_with_share_clip_and_cause() {
    let loader = loader(&two(), 3);
    assert!(loader.failures().is_empty());
    (0..24).for_each(|step| assert!(clips(&loader, step).is_ok()));
    let failures = loader.failures();
    let places: Vec<_> = failures.iter().map(|failure| (failure.share.as_str(), failure.clip)).collect();
    assert_eq!(places, [("g/a", 3), ("g/a", 7), ("g/b", 0), ("g/b", 8), ("g/b", 19)]);
    let Failure { message, .. } = &failures[1];
    assert!(message.starts_with("7.mp4: ") && message.ends_with(": permission denied"), "{message}");
}

#[test]
fn beyond_the_budget_the_run_ends_and_says_how_to_mend_it() {
    let loader = loader(&two(), 2);
    let error = (0..24).find_map(|step| clips(&loader, step).err()).expect("share b has three broken clips");
    for word in
        ["`g/b`", "found 3", "at most 2", "0.mp4", "8.mp4", "19.mp4", "validate --repair", "data.budget"]
    {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn without_a_budget_the_sources_own_error_ends_the_run() {
    let loader = loader(&damaged(20, [3]), 0);
    let error = (0..4).find_map(|step| loader.batch(step, true, CPU).err()).expect("clip 3");
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn the_step_at_which_the_budget_ends_does_not_depend_on_workers() {
    let source = two();
    let outcome = |workers| {
        let config = FeederConfig { workers, ahead: 6 };
        let mut feeder = Feeder::start(Arc::new(loader(&source, 2)), 0..24, |_| true, config).unwrap();
        let step =
            |_| feeder.next(CPU).map(|batch| batch.map(|batch| batch.clips)).map_err(|e| e.to_string());
        (0..24).map(step).collect::<Vec<_>>()
    };
    let expected = outcome(0);
    assert!(expected.iter().any(Result::is_err) && expected[0].is_ok());
    for workers in [1, 2, 4] {
        assert_eq!(outcome(workers), expected, "{workers} workers");
    }
}

#[test]
fn a_share_with_nothing_to_read_ends_the_run_whatever_the_budget() {
    let loader = loader(&damaged(6, 0..6), 1000);
    let error = loader.batch(0, true, CPU).unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
}

#[test]
fn a_request_that_makes_no_sense_is_not_a_broken_clip() {
    struct Wrong;
    impl ClipSource for Wrong {
        fn len(&self) -> usize {
            4
        }
        fn frames_per_clip(&self) -> usize {
            9
        }
        fn clip(&self, index: usize) -> Result<Clip, Error> {
            damaged(4, []).clip(index)
        }
    }
    let loader = loader(&(Arc::new(Wrong) as Arc<dyn ClipSource>), 1000);
    assert!(matches!(loader.batch(0, true, CPU), Err(Error::Setting { .. })));
    assert!(loader.failures().is_empty());
}

#[test]
fn a_stored_configuration_without_a_budget_has_none() {
    let text = r#"{ "batch": 4, "lam_size": 8, "world_size": 8, "crop": { "area": [0.8, 1.0], "aspect": [1.0, 1.0] } }"#;
    assert_eq!(serde_json::from_str::<LoaderConfig>(text).unwrap().budget, 0);
}
