//! Mixtures: exact shares in every block, epochs without repetition, an order that depends on the seed alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use cola_data::{
    Clip, ClipSource, CropConfig, DrawnConfig, DrawnWorld, Error, Frames, Group, Loader, LoaderConfig,
    Mixture, Share, Source,
};
use cola_random::stream;
use rand::seq::SliceRandom;

const CPU: &Device = &Device::Cpu;
/// Samples in which every share has its exact number.
const BLOCK: u64 = 65_536;

/// So many one-pixel clips of `frames` frames with `action_dim` actions, all of brightness `grey`.
struct Dots {
    clips: usize,
    frames: usize,
    action_dim: usize,
    grey: u8,
}

impl ClipSource for Dots {
    fn len(&self) -> usize {
        self.clips
    }

    fn frames_per_clip(&self) -> usize {
        self.frames
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        assert!(index < self.clips, "the mixture keeps within its sources");
        let frames =
            Frames { count: self.frames, height: 1, width: 1, rgb: vec![self.grey; self.frames * 3] };
        let actions = vec![index as f32; (self.frames - 1) * self.action_dim];
        Ok(Clip { frames, actions, action_dim: self.action_dim, episode: index as u64, start: 0 })
    }
}

fn dots(clips: usize, grey: u8) -> Arc<dyn ClipSource> {
    Arc::new(Dots { clips, frames: 1, action_dim: 0, grey })
}

fn source(name: &str, weight: Option<f64>, clips: Arc<dyn ClipSource>) -> Source {
    Source { name: name.into(), weight, clips }
}

fn group(name: &str, weight: f64, sources: Vec<Source>) -> Group {
    Group { name: name.into(), weight, sources }
}

/// 30 % of two sources by clip count (100 and 300), 20 % of one (7), 50 % of two at 3 : 1 (50 and 1000).
fn mixture() -> Mixture {
    Mixture::new(vec![
        group("oxe", 0.3, vec![source("small", None, dots(100, 1)), source("large", None, dots(300, 2))]),
        group("agibot", 0.2, vec![source("all", None, dots(7, 3))]),
        group("human", 0.5, vec![source("a", Some(3.0), dots(50, 4)), source("b", Some(1.0), dots(1000, 5))]),
    ])
    .unwrap()
}

const WEIGHTS: [f64; 5] = [0.075, 0.225, 0.2, 0.375, 0.125];
const CLIPS: [usize; 5] = [100, 300, 7, 50, 1000];

fn loader(source: Arc<dyn ClipSource>, batch: usize, seed: u64) -> Loader {
    let config =
        LoaderConfig { batch, lam_size: 1, world_size: 1, crop: CropConfig::paper(), crops: 0, budget: 0 };
    Loader::new(source, config, seed).unwrap()
}

/// Share and clip in it of each sample of one step.
fn drawn(loader: &Loader, step: u64) -> Vec<(usize, usize)> {
    let shares = loader.source().shares();
    let place = |index: usize| {
        let share = shares.iter().position(|share| share.clips.contains(&index)).unwrap();
        (share, index - shares[share].clips.start)
    };
    loader.batch(step, false, CPU).unwrap().clips.into_iter().map(place).collect()
}

#[test]
fn clips_of_a_mixture_are_those_of_its_sources_one_after_the_other() {
    let mixture = mixture();
    assert_eq!((mixture.len(), mixture.frames_per_clip()), (1457, 1));
    let greys = [0, 99, 100, 399, 400, 406, 407, 456, 457, 1456].map(|i| mixture.clip(i).unwrap());
    assert_eq!(greys.each_ref().map(|clip| clip.frames.rgb[0]), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(greys.map(|clip| clip.episode), [0, 99, 0, 299, 0, 6, 0, 49, 0, 999]);
    assert!(matches!(mixture.clip(1457), Err(Error::Setting { .. })));
    let shares = mixture.shares();
    let names: Vec<&str> = shares.iter().map(|share| share.name.as_str()).collect();
    assert_eq!(names, ["oxe/small", "oxe/large", "agibot/all", "human/a", "human/b"]);
    for (share, weight) in shares.iter().zip(WEIGHTS) {
        assert!((share.weight - weight).abs() < 1e-12, "{share:?}");
    }
}

#[test]
fn every_block_holds_each_share_exactly_and_no_epoch_repeats_a_clip() {
    let loader = loader(Arc::new(mixture()), 4096, 11);
    let all: Vec<_> = (0..32).flat_map(|step| drawn(&loader, step)).collect();
    let due = WEIGHTS.map(|weight| weight * BLOCK as f64);
    let mut first = Vec::new();
    for block in all.chunks(BLOCK as usize) {
        let mut counts = [0_u64; 5];
        block.iter().for_each(|(share, _)| counts[*share] += 1);
        assert_eq!(counts.iter().sum::<u64>(), BLOCK);
        for (count, due) in counts.iter().zip(due) {
            assert!((*count as f64 - due).abs() < 1.0, "{counts:?} {due:?}");
        }
        first.push(counts);
    }
    assert_eq!(first[0], first[1], "the same in every block");
    assert_ne!(all[..64], all[BLOCK as usize..][..64], "in another order");
    // Epochs go on over the border of the blocks.
    for (share, clips) in CLIPS.into_iter().enumerate() {
        let own: Vec<usize> = all.iter().filter(|(of, _)| *of == share).map(|(_, clip)| *clip).collect();
        let mut before = Vec::new();
        for epoch in own.chunks(clips) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), epoch.len(), "share {share}: a clip twice in an epoch");
            assert!(clips < 50 || epoch != before, "share {share}: two epochs in one order");
            before = epoch.to_vec();
        }
    }
}

#[test]
fn the_share_of_a_short_stretch_is_near_its_weight() {
    let loader = loader(Arc::new(mixture()), 2048, 3);
    let mut counts = [0.0; 5];
    drawn(&loader, 5).iter().for_each(|(share, _)| counts[*share] += 1.0);
    for (count, weight) in counts.iter().zip(WEIGHTS) {
        // Five standard deviations of independent draws.
        let spread = 5.0 * (2048.0 * weight * (1.0 - weight)).sqrt();
        assert!((count - 2048.0 * weight).abs() < spread, "{counts:?}");
    }
}

#[test]
fn seed_and_step_are_all_that_an_order_needs() {
    let mixture: Arc<dyn ClipSource> = Arc::new(mixture());
    // Steps of three blocks, forwards; a batch of 100 straddles blocks and epochs.
    let forwards = loader(mixture.clone(), 100, 7);
    let steps = [0, 1, 654, 655, 656, 1310, 1311, 1500, 1_000_000_000_000];
    let expected: BTreeMap<u64, _> = steps.iter().map(|&step| (step, drawn(&forwards, step))).collect();
    let backwards = loader(mixture.clone(), 100, 7);
    for step in steps.into_iter().rev() {
        assert_eq!(drawn(&backwards, step), expected[&step], "step {step}");
        assert_eq!(
            drawn(&loader(mixture.clone(), 100, 7), step),
            expected[&step],
            "step {step} of a fresh loader"
        );
    }
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let (busy, expected) = (&forwards, &expected);
            scope.spawn(move || {
                for turn in 0..2 * steps.len() {
                    let step = steps[(turn + shift) % steps.len()];
                    assert_eq!(drawn(busy, step), expected[&step], "step {step} beside other threads");
                }
            });
        }
    });
    assert_ne!(drawn(&loader(mixture, 100, 8), 0), expected[&0]);
}

#[test]
fn one_share_is_drawn_by_the_plain_rule_of_epochs() {
    let world: Arc<dyn ClipSource> =
        Arc::new(DrawnWorld::new(DrawnConfig { clips: 37, ..DrawnConfig::tiny() }, 1).unwrap());
    let clips = world.clone();
    let alone = Mixture::new(vec![group("only", 2.0, vec![source("one", None, clips)])]).unwrap();
    let (plain, alone) = (loader(world, 50, 9), loader(Arc::new(alone), 50, 9));
    // Steps 1310 and 1311 hold samples on both sides of 65,536.
    for step in [0, 1, 2, 1310, 1311, 99_999] {
        let batch = plain.batch(step, true, CPU).unwrap();
        assert_eq!(batch.clips, alone.batch(step, true, CPU).unwrap().clips);
        for (sample, clip) in batch.samples.iter().zip(&batch.clips) {
            let mut order: Vec<u32> = (0..37).collect();
            order.shuffle(&mut stream(9, "order", sample / 37, 0));
            assert_eq!(*clip, order[(sample % 37) as usize] as usize, "sample {sample}");
        }
    }
}

#[test]
fn a_share_of_next_to_no_weight_still_has_a_sample_in_each_block() {
    let tiny: Vec<Source> =
        (0..40).map(|number| source(&format!("tiny{number}"), Some(1e-9), dots(1, 0))).collect();
    let mut sources = vec![source("big", Some(1.0), dots(10, 0)), source("half", Some(0.5), dots(10, 0))];
    sources.extend(tiny);
    let mixture = Mixture::new(vec![group("g", 1.0, sources)]).unwrap();
    let rows = mixture.plan(10 * BLOCK).unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.samples).sum::<u64>(), 10 * BLOCK);
    assert!(rows[2..].iter().all(|row| row.samples == 10));
    // What the small ones have too much comes off the others as evenly as it goes.
    assert!(
        rows[0].samples.abs_diff(436_906 - 200) <= 20 && rows[1].samples.abs_diff(218_453 - 200) <= 20,
        "{rows:?}"
    );
}

#[test]
fn the_plan_counts_what_is_drawn() {
    let mixture = Arc::new(mixture());
    let plan = mixture.plan(2 * BLOCK).unwrap();
    let loader = loader(mixture.clone(), 4096, 1);
    let mut counts = [0_u64; 5];
    (0..32).flat_map(|step| drawn(&loader, step)).for_each(|(share, _)| counts[share] += 1);
    assert_eq!(plan.rows.iter().map(|row| row.samples).collect::<Vec<_>>(), counts);
    for (row, clips) in plan.rows.iter().zip(CLIPS) {
        assert_eq!(row.clips, clips);
        assert!((row.epochs - row.samples as f64 / clips as f64).abs() < 1e-9);
    }
    for samples in [0, 1, 1000, BLOCK - 1, BLOCK + 12_345] {
        let rows = mixture.plan(samples).unwrap().rows;
        assert_eq!(rows.iter().map(|row| row.samples).sum::<u64>(), samples);
        for (row, weight) in rows.iter().zip(WEIGHTS) {
            assert!((row.samples as f64 - weight * samples as f64).abs() <= 2.0, "{row:?} of {samples}");
        }
    }
}

#[test]
fn a_plan_prints_as_aligned_columns() {
    let text = mixture().plan(100_000).unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "group   source  clips  weight %  samples   epochs");
    assert_eq!(lines[1], "oxe     small     100      7.50     7500    75.00");
    assert_eq!(lines[3], "agibot  all         7     20.00    20000  2857.14");
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_batch_of_clips_with_different_actions_has_none() {
    let with =
        |action_dim| Arc::new(Dots { clips: 8, frames: 3, action_dim, grey: 9 }) as Arc<dyn ClipSource>;
    let batch = |dims: [usize; 2]| {
        let sources = vec![source("a", None, with(dims[0])), source("b", None, with(dims[1]))];
        let mixture = Mixture::new(vec![group("g", 1.0, sources)]).unwrap();
        loader(Arc::new(mixture), 16, 0).batch(0, false, CPU).unwrap()
    };
    assert!(batch([2, 7]).actions.is_none());
    assert!(batch([2, 0]).actions.is_none());
    assert_eq!(batch([2, 2]).actions.unwrap().dims(), [16, 2, 2]);
}

#[test]
fn mixtures_that_cannot_be_drawn_are_refused_by_name() {
    let refused = |groups, word: &str| match Mixture::new(groups) {
        Err(error @ Error::Setting { .. }) => assert!(error.to_string().contains(word), "{error}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("expected an error about {word}"),
    };
    let one = |name, weight| vec![source(name, weight, dots(3, 0))];
    refused(Vec::new(), "group weights");
    refused(vec![group("g", 1.0, Vec::new())], "group `g`");
    refused(vec![group("g", 0.0, one("a", None))], "`g`");
    refused(vec![group("g", f64::NAN, one("a", None))], "NaN");
    refused(vec![group("g", 1.0, one("a", Some(-1.0)))], "-1 for `a`");
    refused(vec![group("g", 1.0, one("a", None)), group("g", 1.0, one("b", None))], "`g`");
    refused(vec![group("g", 1.0, vec![source("a", None, dots(0, 0))])], "`g/a`");
    let half = vec![source("a", Some(1.0), dots(3, 0)), source("b", None, dots(3, 0))];
    refused(vec![group("g", 1.0, half)], "1 for the 2");
    let longer = Arc::new(Dots { clips: 3, frames: 2, action_dim: 0, grey: 0 });
    let lengths = vec![source("a", None, dots(3, 0)), source("b", None, longer)];
    refused(vec![group("g", 1.0, lengths)], "2 in `g/b`");
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    struct Odd(Vec<Share>);
    impl ClipSource for Odd {
        fn len(&self) -> usize {
            10
        }
        fn frames_per_clip(&self) -> usize {
            1
        }
        fn clip(&self, _: usize) -> Result<Clip, Error> {
            dots(1, 0).clip(0)
        }
        fn shares(&self) -> Vec<Share> {
            self.0.clone()
        }
    }
    let share = |clips, weight| Share { name: "s".into(), clips, weight };
    let config =
        LoaderConfig { batch: 2, lam_size: 1, world_size: 1, crop: CropConfig::paper(), crops: 0, budget: 0 };
    let new = |shares| Loader::new(Arc::new(Odd(shares)), config.clone(), 0);
    assert!(new(vec![share(0..4, 1.0), share(4..10, 0.1)]).is_ok());
    assert!(new(vec![share(0..4, 1.0), share(4..4, 1.0)]).is_ok(), "an empty share is never drawn");
    for wrong in [
        vec![],
        vec![share(0..0, 1.0)],
        vec![share(0..11, 1.0)],
        vec![share(0..4, f64::INFINITY)],
        vec![share(0..4, 1.0); 5000],
    ] {
        assert!(matches!(new(wrong), Err(Error::Setting { .. })));
    }
}
