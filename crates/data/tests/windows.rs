//! Windows over runs of frames: steps, rates, ends that no clip crosses; in memory and from disk alike.

mod support {
    pub(crate) mod memory;
}

use std::sync::Arc;

use cola_data::{Clip, ClipOptions, ClipSource, Dataset, EpisodeClips, Error, Region, Run, StreamedClips};
use support::memory::Memory;

fn options(frames: usize) -> ClipOptions {
    ClipOptions { camera: None, frames, frame_stride: 1, rate: None, region: Region::FULL, store: 8 }
}

/// Both kinds of clips, which have to agree.
fn clips(dataset: Memory, runs: &[Run], options: &ClipOptions) -> Result<Vec<Clip>, Error> {
    let dataset: Arc<dyn Dataset> = Arc::new(dataset);
    let held = EpisodeClips::load(&*dataset, runs, options, &mut |_, _| {});
    let streamed = StreamedClips::new(dataset, runs, options);
    let (held, streamed) = match (held, streamed) {
        (Ok(held), Ok(streamed)) => (held, streamed),
        (Err(held), Err(streamed)) => {
            assert_eq!(held.to_string(), streamed.to_string());
            return Err(held);
        }
        (held, streamed) => panic!("{:?} and {:?}", held.err(), streamed.err()),
    };
    assert_eq!((held.len(), held.frames_per_clip()), (streamed.len(), streamed.frames_per_clip()));
    (0..held.len())
        .map(|index| {
            let clip = held.clip(index)?;
            assert_eq!(clip, streamed.clip(index)?);
            Ok(clip)
        })
        .collect()
}

/// Brightness of each frame.
fn shown(clip: &Clip) -> Vec<u8> {
    (0..clip.frames.count).map(|frame| clip.frames.frame(frame)[0]).collect()
}

fn whole(dataset: &Memory) -> Vec<Run> {
    Run::whole(dataset, &Vec::from_iter(0..dataset.episodes.len())).unwrap()
}

#[test]
fn clips_never_cross_the_end_of_a_run() {
    let runs = [
        Run { episode: 0, frames: 0..3 },
        Run { episode: 0, frames: 4..6 },
        Run { episode: 1, frames: 1..4 },
    ];
    let clips = clips(Memory::new(&[6, 5], 10.0), &runs, &options(2)).unwrap();
    let found: Vec<_> = clips.iter().map(|clip| (clip.episode, clip.start, shown(clip))).collect();
    let expected = [
        (0, 0, vec![0, 1]),
        (0, 1, vec![1, 2]),
        (0, 4, vec![4, 5]),
        (1, 1, vec![17, 18]),
        (1, 2, vec![18, 19]),
    ];
    assert_eq!(found, expected);
    assert_eq!(clips[3].actions, [1.0, 1.0], "the action of frame 1 leads to frame 2");
}

#[test]
fn a_rate_that_divides_takes_whole_steps_and_joins_their_actions() {
    let dataset = Memory::new(&[9], 30.0);
    let runs = whole(&dataset);
    let clips = clips(dataset, &runs, &ClipOptions { rate: Some(10.0), ..options(3) }).unwrap();
    assert_eq!(clips.len(), 3);
    assert_eq!(shown(&clips[1]), [1, 4, 7]);
    assert_eq!(clips[1].action_dim, 6);
    assert_eq!(clips[1].actions, [0., 1., 0., 2., 0., 3., 0., 4., 0., 5., 0., 6.]);
}

#[test]
fn a_rate_that_does_not_divide_needs_a_source_without_actions() {
    let asked = ClipOptions { rate: Some(4.0), ..options(3) };
    let dataset = Memory::new(&[9], 10.0);
    let runs = whole(&dataset);
    let error = clips(dataset, &runs, &asked).unwrap_err();
    assert!(error.to_string().contains("5 or 3.3333333333333335"), "{error}");
    let clips = clips(Memory::new(&[9], 10.0).silent(), &runs, &asked).unwrap();
    // 2.5 frames a step: 0, 0.25 and 0.5 s are frames 0, 2.5 and 5; a tie goes to the later frame.
    assert_eq!(clips.iter().map(shown).collect::<Vec<_>>(), [[0, 3, 5], [1, 4, 6], [2, 5, 7], [3, 6, 8]]);
    assert!(clips.iter().all(|clip| clip.action_dim == 0 && clip.actions.is_empty()));
}

#[test]
fn irregular_times_are_sampled_by_time_and_may_show_a_frame_twice() {
    let mut dataset = Memory::new(&[6], 4.0).silent();
    dataset.rows[0].times = vec![0.0, 0.25, 0.5, 1.5, 1.75, 2.0];
    let runs = whole(&dataset);
    let clips = clips(dataset, &runs, &ClipOptions { rate: Some(2.0), ..options(4) }).unwrap();
    // At 0, 0.5, 1 and 1.5 s; at 1 s either neighbour is half a second away.
    assert_eq!(shown(&clips[0]), [0, 2, 3, 3]);
    // Begins at 0.25 s: 0.75 s is nearest to frame 2.
    assert_eq!(shown(&clips[1]), [1, 2, 3, 4]);
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 30.0] {
        let dataset = Memory::new(&[9], 10.0);
        let runs = whole(&dataset);
        let error = clips(dataset, &runs, &ClipOptions { rate: Some(rate), ..options(3) }).unwrap_err();
        assert!(matches!(error, Error::Setting { field: "rate", .. }), "{rate}: {error}");
    }
    let both = ClipOptions { rate: Some(5.0), frame_stride: 2, ..options(3) };
    let dataset = Memory::new(&[9], 10.0);
    let runs = whole(&dataset);
    assert!(clips(dataset, &runs, &both).unwrap_err().to_string().contains("frame_stride"));
    let mut dataset = Memory::new(&[9], 10.0);
    dataset.episodes[0].rate = None;
    let error = clips(dataset, &runs, &ClipOptions { rate: Some(5.0), ..options(3) }).unwrap_err();
    assert!(error.to_string().contains("open.rate"), "{error}");
}

#[test]
fn rows_that_do_not_fit_their_episode_are_refused() {
    for change in [0, 1] {
        let mut dataset = Memory::new(&[5], 10.0);
        match change {
            0 => drop(dataset.rows[0].times.pop()),
            _ => drop(dataset.rows[0].actions.pop()),
        }
        let runs = whole(&dataset);
        let error = clips(dataset, &runs, &options(2)).unwrap_err();
        assert!(error.to_string().contains("rows of episode 0"), "{error}");
    }
}

#[test]
fn runs_outside_their_episode_are_refused() {
    let runs = [(0, 0..6), (0, 3..3), (1, 0..1)];
    for (episode, frames) in runs {
        let error = clips(Memory::new(&[5], 10.0), &[Run { episode, frames }], &options(1)).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
    }
    assert!(clips(Memory::new(&[5], 10.0), &[], &options(1)).is_err());
}
