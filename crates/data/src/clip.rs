//! Clips: a few frames and the actions between them; the trait of everything that holds clips.

use std::ops::Range;

use crate::Error;

/// RGB pictures of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Pictures, `T`.
    pub count: usize,
    /// Rows of a picture, `H`.
    pub height: usize,
    /// Pixels of a row, `W`.
    pub width: usize,
    /// `(T, H, W, 3)`, row-major, 0..=255.
    pub rgb: Vec<u8>,
}

impl Frames {
    /// Picture `index`, `(H, W, 3)`.
    ///
    /// # Panics
    /// If `index >= count`.
    pub fn frame(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * 3;
        &self.rgb[index * size..(index + 1) * size]
    }

    /// Refuses pictures without pixels and a buffer of another length than the sizes say.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bytes = self.count.saturating_mul(self.height).saturating_mul(self.width).saturating_mul(3);
        if bytes == 0 || bytes != self.rgb.len() {
            return Err(Error::setting(
                "frames",
                format!("{} bytes for ({}, {}, {}, 3)", self.rgb.len(), self.count, self.height, self.width),
                "one byte for each element and no empty side",
            ));
        }
        Ok(())
    }
}

/// Consecutive frames of one episode and the real actions between them.
///
/// Action `i` leads from frame `i` to frame `i + 1`. Probes and reports read the actions; training never does.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// `T` pictures.
    pub frames: Frames,
    /// `(T - 1, A)`, row-major, in the data set's own units.
    pub actions: Vec<f32>,
    /// `A`; 0 where the source knows no actions.
    pub action_dim: usize,
    /// Episode of the source that the clip was cut from.
    pub episode: u64,
    /// Frame of the episode that comes first in the clip.
    pub start: usize,
}

/// Clips of a source that are drawn on their own, without replacement.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// What a person finds it by.
    pub name: String,
    /// Its clips, by their index in the source.
    pub clips: Range<usize>,
    /// How often it is drawn, beside the other shares' weights; positive.
    pub weight: f64,
}

/// A fixed, numbered set of clips of one length.
///
/// `clip` is a pure function of `index`: the loader's order, not the source, is what changes from epoch to epoch.
pub trait ClipSource: Send + Sync {
    /// Number of clips.
    fn len(&self) -> usize;

    /// Whether there is no clip at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `T`, the same for all clips.
    fn frames_per_clip(&self) -> usize;

    /// Clip `index`.
    ///
    /// # Errors
    /// An index at or above `len()`, or whatever keeps the source from reading the clip.
    fn clip(&self, index: usize) -> Result<Clip, Error>;

    /// How a [`Loader`](crate::Loader) draws: one share that holds all clips, unless the source is a
    /// [`Mixture`](crate::Mixture).
    fn shares(&self) -> Vec<Share> {
        vec![Share { name: "clips".into(), clips: 0..self.len(), weight: 1.0 }]
    }
}
