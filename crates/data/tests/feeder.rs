//! Batches made ahead: the same bits, in order, within bounds, errors at their step, no thread left behind.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use cola_data::{
    Batch, Clip, ClipSource, CropConfig, DrawnConfig, DrawnWorld, Error, Feeder, FeederConfig, Loader,
    LoaderConfig, Stall,
};

const CPU: &Device = &Device::Cpu;
const CLIPS: usize = 12;
const BATCH: usize = 3;

/// A drawn world that counts, takes its time and fails where it is told to.
struct Watched {
    world: DrawnWorld,
    reads: AtomicUsize,
    pause: Duration,
    /// Clip that cannot be read.
    broken: Option<usize>,
    /// Clip whose reading panics.
    panics: Option<usize>,
}

impl Watched {
    fn new() -> Self {
        let config = DrawnConfig { clips: CLIPS, size: 8, ..DrawnConfig::tiny() };
        let world = DrawnWorld::new(config, 1).unwrap();
        Self { world, reads: AtomicUsize::new(0), pause: Duration::ZERO, broken: None, panics: None }
    }
}

impl ClipSource for Watched {
    fn len(&self) -> usize {
        CLIPS
    }

    fn frames_per_clip(&self) -> usize {
        self.world.frames_per_clip()
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        assert_ne!(Some(index), self.panics, "clip {index} is cursed");
        match self.broken {
            Some(broken) if broken == index => Err(Error::MissingFile {
                file: format!("clip-{index}.mp4").into(),
                expected: "a video",
                mend: "copy it again",
            }),
            _ => self.world.clip(index),
        }
    }
}

fn loader(source: Watched) -> (Arc<Watched>, Arc<Loader>) {
    let source = Arc::new(source);
    let crop = CropConfig::paper();
    let config = LoaderConfig { batch: BATCH, lam_size: 6, world_size: 8, crop, crops: 0, budget: 0 };
    (source.clone(), Arc::new(Loader::new(source, config, 4).unwrap()))
}

fn augment(step: u64) -> bool {
    !step.is_multiple_of(3)
}

fn feeder(loader: &Arc<Loader>, steps: Range<u64>, workers: usize, ahead: usize) -> Feeder {
    Feeder::start(loader.clone(), steps, augment, FeederConfig { workers, ahead }).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn same(found: &Batch, expected: &Batch, told: &str) {
    assert_eq!((&found.samples, &found.clips), (&expected.samples, &expected.clips), "{told}");
    assert_eq!(values(&found.lam_view), values(&expected.lam_view), "{told}");
    assert_eq!(values(&found.world_view), values(&expected.world_view), "{told}");
    let actions = |batch: &Batch| batch.actions.as_ref().map(values);
    assert_eq!(actions(found), actions(expected), "{told}");
}

#[test]
fn batches_are_the_loaders_bit_for_bit_with_any_number_of_workers() {
    let (_, plain) = loader(Watched::new());
    // 7..20 is three epochs, begun in the middle.
    for (workers, ahead) in [(0, 0), (0, 2), (1, 1), (1, 2), (2, 2), (4, 3), (4, 50)] {
        let (_, own) = loader(Watched::new());
        let mut feeder = feeder(&own, 7..20, workers, ahead);
        for step in 7..20 {
            let found = feeder.next(CPU).unwrap().expect("a batch");
            let expected = plain.batch(step, augment(step), CPU).unwrap();
            same(&found, &expected, &format!("step {step}, {workers} workers"));
        }
        assert!(feeder.next(CPU).unwrap().is_none() && feeder.next(CPU).unwrap().is_none());
    }
}

#[test]
fn a_run_goes_on_from_any_step_with_the_same_batches() {
    let (_, loader) = loader(Watched::new());
    let mut through = feeder(&loader, 0..12, 2, 3);
    for step in 0..12 {
        let expected = through.next(CPU).unwrap().expect("a batch");
        let resumed = feeder(&loader, step..12, 1, 2).next(CPU).unwrap().expect("a batch");
        same(&resumed, &expected, &format!("resumed at {step}"));
    }
}

#[test]
fn no_more_than_the_allowed_batches_are_made_ahead() {
    let (source, loader) = loader(Watched::new());
    let mut feeder = feeder(&loader, 0..100, 4, 3);
    let settle = |expected: usize| {
        let end = Instant::now() + Duration::from_secs(20);
        while source.reads.load(Ordering::SeqCst) < expected && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Whoever would go on beyond the bound has the time to.
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(source.reads.load(Ordering::SeqCst), expected);
    };
    settle(3 * BATCH);
    for taken in 1..=5 {
        feeder.next(CPU).unwrap().expect("a batch");
        settle((3 + taken) * BATCH);
    }
}

#[test]
fn an_error_comes_at_its_step_and_the_next_step_goes_on() {
    let (_, plain) = loader(Watched { broken: Some(5), ..Watched::new() });
    let at_fault = |step: u64| plain.batch(step, augment(step), CPU).is_err();
    assert_eq!((0..4).filter(|step| at_fault(*step)).count(), 1, "clip 5 is in one batch of the first epoch");
    for workers in [0, 1, 2, 4] {
        let (_, own) = loader(Watched { broken: Some(5), ..Watched::new() });
        let mut feeder = feeder(&own, 0..8, workers, 4);
        for step in 0..8 {
            match feeder.next(CPU) {
                Ok(batch) => assert!(!at_fault(step) && batch.is_some(), "step {step}, {workers} workers"),
                Err(error) => {
                    assert!(at_fault(step), "step {step}, {workers} workers: {error}");
                    assert!(matches!(error, Error::MissingFile { .. }));
                }
            }
        }
        assert!(feeder.next(CPU).unwrap().is_none());
    }
}

#[test]
fn a_panic_of_the_source_is_an_error_of_its_step() {
    let (_, plain) = loader(Watched::new());
    let cursed = |step: u64| plain.batch(step, augment(step), CPU).unwrap().clips.contains(&2);
    for workers in [0, 1, 2] {
        let (_, own) = loader(Watched { panics: Some(2), ..Watched::new() });
        let mut feeder = feeder(&own, 0..8, workers, 2);
        for step in 0..8 {
            match feeder.next(CPU) {
                Ok(batch) => assert!(!cursed(step) && batch.is_some()),
                Err(Error::Worker { step: named, found }) => {
                    assert!(
                        cursed(step) && named == step && found.contains("cursed"),
                        "{step} {named} {found}"
                    );
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn dropping_a_feeder_ends_its_threads_between_two_clips() {
    let (source, loader) = loader(Watched { pause: Duration::from_millis(40), ..Watched::new() });
    let left: Weak<Loader> = Arc::downgrade(&loader);
    let mut feeder = feeder(&loader, 0..1000, 4, 8);
    feeder.next(CPU).unwrap().expect("a batch");
    drop(loader);
    let before = source.reads.load(Ordering::SeqCst);
    drop(feeder);
    // Each of the pool's threads may have a clip in hand, and may have begun another before it heard of the end.
    let read = source.reads.load(Ordering::SeqCst) - before;
    assert!(read <= 2 * rayon::current_num_threads(), "{read} clips after the end");
    assert!(left.upgrade().is_none(), "no thread holds the loader any more");
}

#[test]
fn waiting_is_measured_and_told_in_percent() {
    let (_, slow) = loader(Watched { pause: Duration::from_millis(10), ..Watched::new() });
    for workers in [0, 1] {
        let mut feeder = feeder(&slow, 0..4, workers, 1);
        while feeder.next(CPU).unwrap().is_some() {}
        let stall = feeder.take_stall();
        assert_eq!(stall.batches, 4);
        assert!(stall.waited >= Duration::from_millis(40) && stall.waited <= stall.total, "{stall:?}");
        assert!(stall.share() > 50.0 && stall.share() <= 100.0);
        let again = feeder.take_stall();
        assert!(again.batches == 0 && again.waited.is_zero() && again.total < stall.total);
    }
    // A consumer that takes longer than the batches waits for the first at most.
    let (_, fast) = loader(Watched::new());
    let mut feeder = feeder(&fast, 0..10, 1, 2);
    feeder.next(CPU).unwrap();
    feeder.take_stall();
    for _ in 1..6 {
        std::thread::sleep(Duration::from_millis(100));
        feeder.next(CPU).unwrap();
    }
    let stall = feeder.take_stall();
    assert!(stall.share() < 30.0, "{stall}");
    let stall = Stall { waited: Duration::from_millis(124), total: Duration::from_secs(31), batches: 9 };
    assert_eq!(stall.to_string(), "stalled 0.4 % of 31 s");
    assert_eq!(Stall::default().share(), 0.0);
}

#[test]
fn a_feeder_in_a_pool_of_one_thread_does_not_wait_for_itself() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (_, loader) = loader(Watched::new());
    let batches = AtomicU64::new(0);
    pool.install(|| {
        let mut feeder = feeder(&loader, 0..6, 2, 2);
        while feeder.next(CPU).unwrap().is_some() {
            batches.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(batches.into_inner(), 6);
}

#[test]
fn no_room_and_no_steps_are_understood() {
    let (_, loader) = loader(Watched::new());
    let none = Feeder::start(loader.clone(), 0..5, augment, FeederConfig { workers: 1, ahead: 0 });
    assert!(matches!(none, Err(Error::Setting { .. })));
    assert!(feeder(&loader, 5..5, 2, 2).next(CPU).unwrap().is_none());
    let text = r#"{ "workers": 1, "ahaed": 2 }"#;
    assert!(serde_json::from_str::<FeederConfig>(text).is_err());
}
