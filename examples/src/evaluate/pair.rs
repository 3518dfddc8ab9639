//! What is compared: clips, and those made in their place.

use anyhow::{Context, Result};
use cola_data::Frames;
use cola_metrics::Video;

/// A real clip and the one that stands for it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The real clip.
    pub real: Video,
    /// The generated one, of the same shape.
    pub generated: Video,
}

/// Where a clip lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The file or episode.
    pub source: String,
    /// First frame.
    pub start: usize,
    /// Number of the source among its kind.
    pub place: usize,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from frame {}", self.source, self.start)
    }
}

/// Clips that there are, and sources that give none.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Every pair in order.
    pub names: Vec<Name>,
    /// What is known to be unreadable before anything is decoded: its name and why.
    pub broken: Vec<(String, String)>,
}

/// Clips and their counterparts, read one pair after the other.
pub trait Pairs {
    /// What there is to read.
    fn listing(&self) -> &Listing;

    /// Pair `index`.
    ///
    /// # Errors
    /// Files that are damaged; the others can still be read.
    fn read(&mut self, index: usize) -> Result<Pair>;
}

/// Decoded pictures as the metrics take them.
///
/// # Errors
/// No pictures.
pub fn video(frames: &Frames) -> Result<Video> {
    Video::from_rgb8(frames.count, frames.height, frames.width, &frames.rgb).context("decoded frames")
}

/// Starts of consecutive clips: whole ones only, in frames of the source.
pub fn starts(total: usize, frames: usize) -> impl Iterator<Item = usize> {
    (0..total / frames.max(1)).map(move |clip| clip * frames)
}
