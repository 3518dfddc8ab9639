//! What a velocity depends on beside latents and time.

use candle_core::{Result, Tensor};

use crate::text::Captions;

/// The conditions of a batch.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Modulation rows of the actions `(B, T, 6 D)` from [`crate::ActionConditioner`]; none for a plain video model.
    pub action: Option<Tensor>,
    /// Captions; for the reference form, and needed there.
    pub captions: Option<Captions>,
    /// Frames per second: one number for all clips of the batch, one a clip, or fewer that are repeated as a whole, as the
    /// reference does for guidance.
    pub fps: Vec<f64>,
    /// Height of the video in pixels (not latent pixels).
    pub height: usize,
    /// Width of the video in pixels.
    pub width: usize,
}

impl Conditions {
    /// Without text, with one frame rate for all clips.
    pub fn new(action: Option<Tensor>, fps: f64, height: usize, width: usize) -> Self {
        Self { action, captions: None, fps: vec![fps], height, width }
    }

    /// With captions.
    pub fn describing(self, captions: Captions) -> Self {
        Self { captions: Some(captions), ..self }
    }

    /// One frame rate for all clips, or one for each.
    pub(crate) fn frame_rates(&self, clips: usize) -> Result<Vec<f64>> {
        let count = self.fps.len();
        if count == 1 {
            return Ok(self.fps.clone());
        }
        if count == 0 || !clips.is_multiple_of(count) {
            candle_core::bail!("{count} frame rates for {clips} clips; give one, or one for each clip");
        }
        Ok(self.fps.repeat(clips / count))
    }

    /// The conditions of `count` of the frames, from `first` on.
    ///
    /// # Errors
    /// Frames that have no action.
    pub(crate) fn frames(&self, first: usize, count: usize) -> Result<Self> {
        let action = self.action.as_ref().map(|rows| rows.narrow(1, first, count)).transpose()?;
        Ok(Self { action, ..self.clone() })
    }
}
