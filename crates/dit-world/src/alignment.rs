//! Which actions and video frames belong to which latent frame.

use std::ops::Range;

/// Frames of a chunk of the video VAE; chunks do not see each other.
const CHUNK: usize = 17;

/// One latent frame for every video frame, or one for every four behind the first.
///
/// Action `i` leads from frame `i` to frame `i + 1`. Latent frame 0 stands for frame 0 alone, which no action produced;
/// latent frame `j >= 1` stands for the frames that the actions `g (j - 1) .. g j` produced.
///
/// ```
/// use cola_dit_world::Alignment;
///
/// # fn main() -> Result<(), cola_dit_world::AlignmentError> {
/// let four = Alignment::new(4)?;
/// assert_eq!(four.latent_frames(17)?, 5);
/// assert_eq!(four.actions(0), None);
/// assert_eq!(four.actions(2), Some(4..8)); // frames 5 to 8
/// assert!(four.latent_frames(16).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    frames_per_latent: usize,
}

/// What does not line up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlignmentError {
    /// The video VAE knows 1 and 4.
    #[error(
        "frames_per_latent is {found}; it must be 1 (every frame encoded by itself) or 4 (the temporal VAE's rate)"
    )]
    FramesPerLatent {
        /// What was asked for.
        found: usize,
    },
    /// A clip of a length that no latent frames stand for.
    #[error("a clip of {found} frames {reason}; the nearest length that works is {nearest}")]
    Frames {
        /// Video frames.
        found: usize,
        /// Why not.
        reason: &'static str,
        /// Another length.
        nearest: usize,
    },
    /// Actions that end within a latent frame.
    #[error("{found} actions do not fill latent frames of {frames_per_latent} actions each; give {nearest}")]
    Actions {
        /// Actions.
        found: usize,
        /// Actions of a latent frame.
        frames_per_latent: usize,
        /// The nearest number that works.
        nearest: usize,
    },
}

impl Alignment {
    /// With `frames_per_latent` 1 or 4.
    ///
    /// # Errors
    /// Any other number.
    pub fn new(frames_per_latent: usize) -> Result<Self, AlignmentError> {
        match frames_per_latent {
            1 | 4 => Ok(Self { frames_per_latent }),
            found => Err(AlignmentError::FramesPerLatent { found }),
        }
    }

    /// Video frames of each latent frame behind the first, and actions.
    pub fn frames_per_latent(self) -> usize {
        self.frames_per_latent
    }

    /// Latent frames of a clip.
    ///
    /// # Errors
    /// A clip without a transition; for four frames a latent, a clip that is not 1 + 4 k long or longer than a chunk of the
    /// VAE, whose latents 5, 10 … stand for one frame again.
    pub fn latent_frames(self, frames: usize) -> Result<usize, AlignmentError> {
        let g = self.frames_per_latent;
        let refuse = |reason, nearest| Err(AlignmentError::Frames { found: frames, reason, nearest });
        if frames < 2 {
            return refuse("has no transition", 1 + g);
        }
        if g > 1 && frames > CHUNK {
            return refuse("is longer than a chunk of 17 frames, and chunks do not see each other", CHUNK);
        }
        if !(frames - 1).is_multiple_of(g) {
            let below = 1 + (frames - 1) / g * g;
            let nearest = if below > 1 && frames - below <= g / 2 { below } else { below + g };
            return refuse("is not 1 + 4 k long, one frame and then four for each latent", nearest);
        }
        Ok(1 + (frames - 1) / g)
    }

    /// Video frames that so many latent frames stand for.
    pub fn video_frames(self, latent_frames: usize) -> usize {
        if latent_frames == 0 { 0 } else { 1 + (latent_frames - 1) * self.frames_per_latent }
    }

    /// Latent frames, the first included, that so many actions lead to.
    ///
    /// # Errors
    /// No actions, actions that end within a latent frame.
    pub fn behind(self, actions: usize) -> Result<usize, AlignmentError> {
        let g = self.frames_per_latent;
        if actions == 0 || !actions.is_multiple_of(g) {
            let below = actions / g * g;
            let nearest = if below > 0 && actions - below <= g / 2 { below } else { below + g };
            return Err(AlignmentError::Actions { found: actions, frames_per_latent: g, nearest });
        }
        Ok(1 + actions / g)
    }

    /// The actions that produced a latent frame; none produced the first.
    pub fn actions(self, latent: usize) -> Option<Range<usize>> {
        let g = self.frames_per_latent;
        latent.checked_sub(1).map(|before| g * before..g * (before + 1))
    }

    /// The actions within a window of `count >= 1` latent frames whose first is latent frame `first`: all that produced one
    /// of them but the first.
    pub fn within(self, first: usize, count: usize) -> Range<usize> {
        let g = self.frames_per_latent;
        g * first..g * (first + count - count.min(1))
    }

    /// The latent frame that stands for a video frame.
    pub fn latent_of(self, frame: usize) -> usize {
        frame.div_ceil(self.frames_per_latent)
    }
}
