//! Quality by horizon: the mean of each predicted frame, and of all.

use serde::{Deserialize, Serialize};

use crate::Tally;

/// A metric's values by frame, over clips.
///
/// ```
/// use cola_metrics::Curve;
///
/// let mut psnr = Curve::default();
/// psnr.add(&[30.0, 20.0]);
/// psnr.add(&[28.0, 24.0, 20.0]); // a longer clip
/// assert_eq!(psnr.by_frame().map(|frame| frame.mean().unwrap()).collect::<Vec<_>>(), [29.0, 22.0, 20.0]);
/// assert_eq!(psnr.mean(), Some(122.0 / 5.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    frames: Vec<Tally>,
    clips: Tally,
}

impl Curve {
    /// Takes in a clip's values, one a frame.
    pub fn add(&mut self, values: &[f64]) {
        if self.frames.len() < values.len() {
            self.frames.resize(values.len(), Tally::default());
        }
        let mut clip = Tally::default();
        for (frame, value) in self.frames.iter_mut().zip(values) {
            frame.add(*value);
            clip.add(*value);
        }
        if let Some(mean) = clip.mean() {
            self.clips.add(mean);
        }
    }

    /// Takes in all clips of another.
    pub fn merge(&mut self, other: &Self) {
        if self.frames.len() < other.frames.len() {
            self.frames.resize(other.frames.len(), Tally::default());
        }
        self.frames.iter_mut().zip(&other.frames).for_each(|(frame, other)| frame.merge(other));
        self.clips.merge(&other.clips);
    }

    /// The first predicted frame's values, the second's, and so on.
    pub fn by_frame(&self) -> impl Iterator<Item = &Tally> {
        self.frames.iter()
    }

    /// Means of clips: their spread is that between clips, as frames of one clip resemble each other.
    pub fn by_clip(&self) -> &Tally {
        &self.clips
    }

    /// Values of all frames.
    pub fn count(&self) -> u64 {
        self.frames.iter().map(Tally::count).sum()
    }

    /// Mean over all frames of all clips; none of no frames.
    pub fn mean(&self) -> Option<f64> {
        let mut all = Tally::default();
        self.frames.iter().for_each(|frame| all.merge(frame));
        all.mean()
    }
}
