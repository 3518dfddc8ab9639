//! The HDF5 fixtures of `tests/fixtures/hdf5.py`, and the pictures that it draws.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use cola_data::{Dataset, Error, Frames, OpenOptions, Region, Robomimic, Stretch, View};

/// A fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5").join(name)
}

/// Byte `(t, y, x, c)` is `(31 t + 7 y + 3 x + 50 c + seed) mod 256`.
pub(crate) fn pictures(count: usize, seed: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for t in 0..count {
        for y in 0..6 {
            for x in 0..8 {
                bytes.extend((0..3).map(|c| (31 * t + 7 * y + 3 * x + 50 * c + seed) as u8));
            }
        }
    }
    bytes
}

/// Element `(t, j)` is `t + j / 8`.
pub(crate) fn numbers(count: usize, width: usize) -> Vec<f32> {
    (0..count).flat_map(|t| (0..width).map(move |j| t as f32 + j as f32 / 8.0)).collect()
}

/// Opens a fixture whose format it tells itself.
pub(crate) fn robomimic(name: &str) -> Result<Robomimic, Error> {
    Robomimic::open(&fixture(name), &OpenOptions::default())
}

/// These frames of an episode in full.
pub(crate) fn read(
    dataset: &dyn Dataset,
    camera: &str,
    episode: usize,
    frames: &[usize],
) -> Result<Frames, Error> {
    let size = dataset.camera(Some(camera))?.size.unwrap();
    let view = View { region: Region::FULL, height: size.0, width: size.1 };
    dataset.read(camera, &Stretch { episode, frames: frames.to_vec() }, &view)
}
