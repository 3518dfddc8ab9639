//! `proprio_stats.h5`: times, states and actions of one recording.

use std::path::Path;

use hdf5_pure::DType;

use crate::hdf5::Archive;
use crate::{Error, Rows};

/// Most frames of a recording: a day and a half.
const LONGEST: usize = 1 << 22;

/// Most numbers in a row of one part.
const WIDEST: usize = 1 << 12;

/// The dataset whose length is that of the recording.
const LENGTH: &str = "state/joint/position";

/// What a state is made of, in this order.
const STATES: [&str; 4] = ["joint/position", "effector/position", "head/position", "waist/position"];

/// What an action is made of, in this order.
const ACTIONS: [&str; 5] =
    ["joint/position", "effector/position", "head/position", "waist/position", "robot/velocity"];

/// Width of a velocity: forwards, and around the vertical axis.
const VELOCITY: usize = 2;

/// One part of all rows.
struct Part {
    values: Vec<f64>,
    /// Numbers of a row.
    width: usize,
    /// Rows that are there.
    rows: usize,
}

/// Number of frames.
pub(super) fn frames(file: &Path) -> Result<usize, Error> {
    Archive::with(file, |archive| {
        let rows = archive.array(LENGTH)?.map_or(0, |array| array.rows());
        if (1..=LONGEST).contains(&rows) {
            return Ok(rows);
        }
        Err(archive.field(&format!("`{LENGTH}`"), format!("{rows} rows"), format!("1 to {LONGEST}")))
    })
}

/// Reads the rows of a recording of `frames` frames, whose rate serves where there are no times.
pub(super) fn read(file: &Path, frames: usize, rate: f64) -> Result<Rows, Error> {
    Archive::with(file, |archive| {
        let mut states = Vec::new();
        for name in STATES {
            let name = format!("state/{name}");
            if let Some(part) = part(archive, &name)?.filter(|part| part.rows > 0) {
                if part.rows != frames {
                    let found = format!("{} rows", part.rows);
                    return Err(archive.field(&format!("`{name}`"), found, format!("{frames}, one a frame")));
                }
                states.push(part);
            }
        }
        let mut actions = Vec::new();
        for name in ACTIONS {
            actions.extend(action(archive, name, frames)?);
        }
        let (states, state_dim) = beside(&states, frames);
        let (actions, action_dim) = beside(&actions, frames);
        Ok(Rows { times: times(archive, frames, rate)?, actions, action_dim, states, state_dim })
    })
}

/// One part of the actions, a row for each frame; `None` if the file has no such part.
fn action(archive: &Archive, name: &str, frames: usize) -> Result<Option<Part>, Error> {
    let path = format!("action/{name}");
    let Some(sent) = part(archive, &path)? else { return Ok(None) };
    if sent.rows == frames {
        return Ok(Some(sent));
    }
    if sent.rows > frames {
        let found = format!("{} rows", sent.rows);
        return Err(archive.field(&format!("`{path}`"), found, format!("at most {frames}, one a frame")));
    }
    let state = part(archive, &format!("state/{name}"))?.filter(|state| state.rows == frames);
    if sent.rows == 0 {
        let width = state.map_or(VELOCITY, |state| state.width);
        return Ok(Some(Part { values: vec![0.0; frames * width], width, rows: frames }));
    }
    // Only the frames at which a command was sent are there.
    let index = format!("action/{}/index", name.split('/').next().unwrap_or_default());
    let Some(mut all) = state.filter(|state| state.width == sent.width) else {
        let found = format!("{} rows and no state of the same width", sent.rows);
        return Err(archive.field(&format!("`{path}`"), found, format!("{frames} rows, one a frame")));
    };
    let places = part(archive, &index)?.map_or(Vec::new(), |places| places.values);
    let legal = places.iter().all(|&place| place >= 0.0 && place < frames as f64);
    if places.len() != sent.rows || !legal {
        let found = format!("{} numbers of frames", places.len());
        let expected = format!("{} below {frames}, one for each row of `{path}`", sent.rows);
        return Err(archive.field(&format!("`{index}`"), found, expected));
    }
    for (row, place) in sent.values.chunks_exact(sent.width).zip(places) {
        let at = place as usize * sent.width;
        all.values[at..at + sent.width].copy_from_slice(row);
    }
    Ok(Some(all))
}

/// Seconds since the first frame.
fn times(archive: &Archive, frames: usize, rate: f64) -> Result<Vec<f64>, Error> {
    let array = archive.array("timestamp")?.filter(|array| array.rows() > 0);
    let Some(array) = array else { return Ok((0..frames).map(|frame| frame as f64 / rate).collect()) };
    if array.shape() != [frames] {
        return Err(array.field(format!("shape {:?}", array.shape()), format!("[{frames}], one a frame")));
    }
    let unit = if matches!(array.kind(), DType::F32 | DType::F64) { 1.0 } else { 1e-9 };
    let stamps = array.numbers()?;
    let first = stamps.first().copied().unwrap_or_default();
    Ok(stamps.into_iter().map(|stamp| (stamp - first) * unit).collect())
}

/// A dataset as rows of numbers.
fn part(archive: &Archive, path: &str) -> Result<Option<Part>, Error> {
    let Some(array) = archive.array(path)? else { return Ok(None) };
    let (rows, width) = (array.rows(), array.row());
    if array.shape().is_empty() || rows > LONGEST || width > WIDEST || (rows > 0 && width == 0) {
        let expected = format!("up to {LONGEST} rows of 1 to {WIDEST} numbers");
        return Err(array.field(format!("shape {:?}", array.shape()), expected));
    }
    Ok(Some(Part { values: array.numbers()?, width, rows }))
}

/// Parts of as many rows, put beside each other.
fn beside(parts: &[Part], frames: usize) -> (Vec<f32>, usize) {
    let width = parts.iter().map(|part| part.width).sum();
    let mut values = Vec::with_capacity(frames * width);
    for frame in 0..frames {
        for part in parts {
            let row = &part.values[frame * part.width..(frame + 1) * part.width];
            values.extend(row.iter().map(|&value| value as f32));
        }
    }
    (values, width)
}
