//! A data set whose every value follows from its place; `fixtures/read_with_lerobot.py` knows the same rules.
//!
//! Three episodes of 12, 1 and 130 frames, 10 a second, seen by two cameras.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use cola_data::{Camera, Error, LeRobotLayout, LeRobotWriter, PictureStore};

/// Frames of each episode.
pub(crate) const LENGTHS: [usize; 3] = [12, 1, 130];
/// Text of each episode.
pub(crate) const TASKS: [&str; 3] = ["push the block", "", "push the block"];
/// Height and width of each camera.
pub(crate) const SIZES: [(usize, usize); 2] = [(32, 48), (64, 40)];

/// Pixel `(y, x)` has red `x`, green `2 y`, blue `x + y` above a level that grows with camera, episode and frame.
pub(crate) fn picture(camera: usize, episode: usize, frame: usize) -> Vec<u8> {
    let (height, width) = SIZES[camera];
    let level = 30 + 10 * camera + 15 * episode + 4 * (frame % 12);
    let pixel =
        |y: usize, x: usize| [level + x, level + 2 * y, level + x + y].map(|value| value.min(255) as u8);
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(y, x))).collect()
}

/// Multiples of 1/64, so that 32 bits hold them.
fn numbers(width: usize, episode: usize, frame: usize) -> Vec<f32> {
    (0..width).map(|i| ((31 * episode + 7 * frame + 13 * i) % 64) as f32 / 64.0 - 0.25).collect()
}

pub(crate) fn action(episode: usize, frame: usize) -> Vec<f32> {
    numbers(3, episode, frame)
}

pub(crate) fn state(episode: usize, frame: usize) -> Vec<f32> {
    numbers(2, episode, frame + 1)
}

pub(crate) fn layout(pictures: PictureStore) -> LeRobotLayout {
    let keys = ["observation.images.top", "observation.images.wrist"];
    let cameras = keys.iter().zip(SIZES).map(|(key, size)| Camera { key: (*key).into(), size: Some(size) });
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    LeRobotLayout {
        robot_type: Some("drawn".into()),
        action_names: names(&["dx", "dy", "gripper"]),
        state_names: names(&["x", "y"]),
        pictures,
        ..LeRobotLayout::new(10.0, cameras.collect())
    }
}

pub(crate) fn push(writer: &mut LeRobotWriter, episode: usize, frame: usize) -> Result<(), Error> {
    let pictures = [picture(0, episode, frame), picture(1, episode, frame)];
    writer.frame(&[&pictures[0], &pictures[1]], &action(episode, frame), &state(episode, frame))
}

/// Writes the whole set.
pub(crate) fn write(root: &Path, layout: &LeRobotLayout) -> Result<(), Error> {
    let mut writer = LeRobotWriter::create(root, layout)?;
    for (episode, length) in LENGTHS.into_iter().enumerate() {
        (0..length).try_for_each(|frame| push(&mut writer, episode, frame))?;
        writer.end_episode(TASKS[episode])?;
    }
    writer.finish(&[("train", 0..2), ("valid", 2..3)])
}

/// A set of small pictures without rows.
pub(crate) fn one_camera(fps: f64, pictures: PictureStore) -> LeRobotLayout {
    let camera = Camera { key: "top".into(), size: Some((16, 16)) };
    LeRobotLayout { pictures, ..LeRobotLayout::new(fps, vec![camera]) }
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
