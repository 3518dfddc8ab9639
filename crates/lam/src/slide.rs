//! Videos longer than a clip.

use candle_core::{Result, Tensor};

use crate::model::LatentActionModel;

/// Windows that are read at a time: what bounds the memory, however long the video.
const WINDOWS: usize = 8;

/// Latent actions of consecutive transitions, constants without a gradient.
#[derive(Clone, Debug)]
pub struct ActionSequence {
    /// Before quantization, `(B, S, n, d)`.
    pub tokens: Tensor,
    /// After it, `(B, S, n·d)`.
    pub embedding: Tensor,
    /// Chosen codebook rows, `(B, S, n)` u32.
    pub codes: Tensor,
}

impl ActionSequence {
    /// `count` transitions, the first of them `start`.
    fn narrow(&self, start: usize, count: usize) -> Result<Self> {
        let part = |values: &Tensor| values.narrow(1, start, count);
        Ok(Self { tokens: part(&self.tokens)?, embedding: part(&self.embedding)?, codes: part(&self.codes)? })
    }

    /// One after the other.
    fn join(parts: &[Self]) -> Result<Self> {
        let all = |of: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 1);
        Ok(Self {
            tokens: all(|part| &part.tokens)?,
            embedding: all(|part| &part.embedding)?,
            codes: all(|part| &part.codes)?,
        })
    }
}

/// Latent actions of videos that arrive piece by piece, by windows of `window` frames one frame apart: all actions of the
/// first window and the last one of every later window. Each action is found as in training, with the same frames before
/// it; nothing but the last `window` - 1 frames is kept.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_lam::{LamConfig, LatentActionModel};
/// use cola_nn::Params;
///
/// # fn main() -> candle_core::Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let model = LatentActionModel::new(&LamConfig::tiny(), params.frozen())?;
/// let mut actions = model.slide(4)?;
/// let piece = Tensor::rand(0f32, 1f32, (1, 3, 3, 32, 32), &Device::Cpu)?;
/// assert!(actions.push(&piece)?.is_none()); // three frames, a window has four
/// assert_eq!(actions.push(&piece)?.unwrap().codes.dims(), [1, 5, 2]); // six frames so far
/// assert_eq!(actions.push(&piece)?.unwrap().codes.dims(), [1, 3, 2]);
/// assert!(actions.finish()?.is_none()); // every transition is told
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SlidingActions<'a> {
    model: &'a LatentActionModel,
    window: usize,
    /// Frames that later windows need, `(B, up to window - 1, 3, H, W)`.
    kept: Option<Tensor>,
    started: bool,
}

impl LatentActionModel {
    /// For videos of any length, see [`SlidingActions`]; in training clips had `window` frames.
    ///
    /// # Errors
    /// A window of fewer than 2 or more than `max_frames` frames.
    pub fn slide(&self, window: usize) -> Result<SlidingActions<'_>> {
        let most = self.config().max_frames;
        if !(2..=most).contains(&window) {
            candle_core::bail!("windows of {window} frames: 2 to {most} frames are read");
        }
        Ok(SlidingActions { model: self, window, kept: None, started: false })
    }

    /// Latent actions of videos `(B, T, 3, H, W)` of any length `T >= 2`, S = T - 1; a video shorter than the window is
    /// one window. Memory beside the video and the result does not grow with the length.
    ///
    /// # Errors
    /// As [`LatentActionModel::slide`]; a video of other sides or of one frame.
    pub fn infer_long(&self, video: &Tensor, window: usize) -> Result<ActionSequence> {
        let mut sliding = self.slide(window)?;
        let length = video.dim(1)?;
        let piece = window + WINDOWS - 1;
        let mut parts = Vec::new();
        for first in (0..length).step_by(piece) {
            parts.extend(sliding.push(&video.narrow(1, first, piece.min(length - first))?)?);
        }
        parts.extend(sliding.finish()?);
        if parts.is_empty() {
            candle_core::bail!(
                "a video of shape {:?} has no transition: give two frames or more",
                video.dims()
            );
        }
        ActionSequence::join(&parts)
    }
}

impl SlidingActions<'_> {
    /// The next frames `(B, t, 3, H, W)` of all videos, pixels in `[0, 1]`: the actions that are now known, if any. Memory
    /// grows with `t`, not with what came before.
    ///
    /// # Errors
    /// Frames of other sides, or of another number of videos than before.
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<ActionSequence>> {
        let frames = match &self.kept {
            Some(kept) => Tensor::cat(&[kept, frames], 1)?,
            None => frames.clone(),
        };
        let (videos, length, colours, height, width) = frames.dims5()?;
        let windows = (length + 1).saturating_sub(self.window);
        let mut parts = Vec::new();
        for first in (0..windows).step_by(WINDOWS) {
            let count = WINDOWS.min(windows - first);
            let group: Vec<Tensor> = (first..first + count)
                .map(|start| frames.narrow(1, start, self.window))
                .collect::<Result<_>>()?;
            let shape = (count * videos, self.window, colours, height, width);
            let found = self.infer(&Tensor::stack(&group, 0)?.reshape(shape)?)?;
            for window in 0..count {
                let own = |values: &Tensor| values.narrow(0, window * videos, videos);
                let own = ActionSequence {
                    tokens: own(&found.tokens)?,
                    embedding: own(&found.embedding)?,
                    codes: own(&found.codes)?,
                };
                parts.push(if self.started { own.narrow(self.window - 2, 1)? } else { own });
                self.started = true;
            }
        }
        let needed = length.min(self.window - 1);
        // A copy: a view would keep the whole piece alive.
        self.kept = Some(frames.narrow(1, length - needed, needed)?.force_contiguous()?);
        if parts.is_empty() { Ok(None) } else { ActionSequence::join(&parts).map(Some) }
    }

    /// The end of the videos: the actions of videos that were shorter than a window. Nothing if all are told, or if there
    /// were fewer than two frames.
    ///
    /// # Errors
    /// As [`SlidingActions::push`].
    pub fn finish(self) -> Result<Option<ActionSequence>> {
        match &self.kept {
            Some(kept) if !self.started && kept.dim(1)? > 1 => self.infer(kept).map(Some),
            _ => Ok(None),
        }
    }

    /// Detached: what a model that learns remembers of every window would grow with the video.
    fn infer(&self, clips: &Tensor) -> Result<ActionSequence> {
        let found = self.model.infer(&clips.detach())?;
        Ok(ActionSequence {
            tokens: found.tokens.detach(),
            embedding: found.embedding.detach(),
            codes: found.codes,
        })
    }
}
