//! Episodes read one by one: the same frames as a decoded split; what is damaged spoils nothing else.

mod support;

use cola_data::{ClipSource, Dataset, Error, Frames, LeRobot, Region, Stretch, View};
use support::{Column, FRAMES, ROBODESK, Toy, set};

const VIEW: View = View { region: Region::FULL, height: 32, width: 48 };

fn read(toy: &Toy, episode: usize, frames: impl IntoIterator<Item = usize>) -> Result<Frames, Error> {
    let stretch = Stretch { episode, frames: frames.into_iter().collect() };
    LeRobot::open(toy.root()).unwrap().read("camera", &stretch, &VIEW)
}

#[test]
fn frames_are_those_of_the_decoded_split() {
    let toy = Toy::new().write();
    let clips = toy.load("train", FRAMES).unwrap();
    for episode in 0..3 {
        assert_eq!(read(&toy, episode, 0..FRAMES).unwrap(), clips.clip(episode).unwrap().frames);
        assert_eq!(read(&toy, episode, 2..4).unwrap(), clips.run_clip(episode, 2, 2).unwrap().frames);
        let skipping = read(&toy, episode, [0, 3, 5]).unwrap();
        assert_eq!(skipping.frame(1), clips.run_clip(episode, 3, 1).unwrap().frames.frame(0));
    }
}

#[test]
fn the_shipped_episodes_are_found_by_time() {
    let dataset = LeRobot::open(std::path::Path::new(ROBODESK)).unwrap();
    let camera = dataset.camera(None).unwrap();
    let episode = dataset.episodes().len() - 1;
    let frames = dataset.episodes()[episode].frames;
    let view = View { region: Region::FULL, height: 8, width: 8 };
    let stretch = Stretch { episode, frames: (0..frames).collect() };
    assert_eq!(dataset.read(&camera.key, &stretch, &view).unwrap().count, frames);
}

#[test]
fn a_damaged_file_spoils_its_own_episodes_only() {
    let toy = Toy::new().write();
    std::fs::write(toy.video_file(1), b"no video").unwrap();
    assert!(read(&toy, 1, 0..FRAMES).is_ok());
    assert!(read(&toy, 2, 0..FRAMES).is_err());
}

#[test]
fn times_that_meet_no_picture_and_frames_that_are_not_there_are_refused() {
    for start in [3.7, 9.0, f64::NAN] {
        let mut toy = Toy::new();
        let starts = Column::Doubles(vec![0.0, 1.2, 2.4, start]);
        set(&mut toy.episodes, "videos/camera/from_timestamp", Some(starts));
        let error = read(&toy.write(), 3, 0..FRAMES).err().unwrap();
        assert!(matches!(error, Error::FrameTime { episode: 3, frame: 0, .. }), "{error}");
    }
    let toy = Toy::new().write();
    for frames in [vec![0, FRAMES], vec![], vec![2, 1], vec![1, 1], vec![usize::MAX]] {
        assert!(matches!(read(&toy, 0, frames), Err(Error::Setting { .. })));
    }
    assert!(matches!(read(&toy, 4, 0..2), Err(Error::Setting { .. })));
}
