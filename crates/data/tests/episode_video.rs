//! Episodes read one by one: the same frames as a decoded split; what is damaged spoils nothing else.

mod support;

use cola_data::{ClipSource, EpisodeVideo, Error, LeRobot, Region, View};
use support::{Column, FRAMES, ROBODESK, Toy, set};

const VIEW: View = View { region: Region::FULL, height: 32, width: 48 };

fn open(toy: &Toy, episode: usize) -> Result<EpisodeVideo, Error> {
    let dataset = LeRobot::open(toy.root()).unwrap();
    EpisodeVideo::open(&dataset, "camera", &dataset.episodes()[episode])
}

#[test]
fn frames_are_those_of_the_decoded_split() {
    let toy = Toy::new().write();
    let clips = toy.load("train", FRAMES).unwrap();
    for episode in 0..3 {
        let video = open(&toy, episode).unwrap();
        assert_eq!((video.frames(), video.sides()), (FRAMES, (32, 48)));
        assert_eq!(video.read(0..FRAMES, &VIEW).unwrap(), clips.clip(episode).unwrap().frames);
        let part = video.read(2..4, &VIEW).unwrap();
        assert_eq!(part, clips.episode_clip(episode, 2, 2).unwrap().frames);
    }
}

#[test]
fn the_shipped_episodes_are_found_by_time() {
    let dataset = LeRobot::open(std::path::Path::new(ROBODESK)).unwrap();
    let camera = dataset.camera(None).unwrap();
    let last = dataset.episodes().last().unwrap();
    let video = EpisodeVideo::open(&dataset, camera, last).unwrap();
    let view = View { region: Region::FULL, height: 8, width: 8 };
    assert_eq!(video.read(0..video.frames(), &view).unwrap().count, last.frames());
}

#[test]
fn a_damaged_file_spoils_its_own_episodes_only() {
    let toy = Toy::new().write();
    std::fs::write(toy.video_file(1), b"no video").unwrap();
    assert!(open(&toy, 1).is_ok());
    assert!(open(&toy, 2).is_err());
}

#[test]
fn times_that_meet_no_picture_and_ranges_beyond_the_end_are_refused() {
    for start in [3.7, 9.0, f64::NAN] {
        let mut toy = Toy::new();
        let starts = Column::Doubles(vec![0.0, 1.2, 2.4, start]);
        set(&mut toy.episodes, "videos/camera/from_timestamp", Some(starts));
        let error = open(&toy.write(), 3).err().unwrap();
        assert!(matches!(error, Error::FrameTime { episode: 3, frame: 0, .. }), "{error}");
    }
    let video = open(&Toy::new().write(), 0).unwrap();
    for range in [0..FRAMES + 1, 3..3, usize::MAX - 1..usize::MAX] {
        assert!(matches!(video.read(range, &VIEW), Err(Error::Setting { .. })));
    }
}
