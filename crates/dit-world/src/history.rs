//! What a causal model remembers of clean frames: continuing a rollout without computing its past again.

use candle_core::{Result, Tensor};
use cola_flow::{Given, Velocity};

use crate::conditions::Conditions;
use crate::model::{DitWorld, Times};
use crate::patch::Grid;

/// Keys and values of clean frames in every block over time.
///
/// Exact, not an approximation: given frames are always at time 0, and in a causal model they see neither later frames
/// nor the time of the noised ones, so their keys and values are the same at every step of the sampler. On the CPU in f32
/// a velocity behind a history has the bits of the velocity computed over all frames.
#[derive(Clone, Debug)]
pub struct History {
    /// One for each block over time: `(B, P, S, 2 D)`.
    blocks: Vec<Tensor>,
    frames: usize,
}

impl History {
    /// Frames remembered.
    pub fn frames(&self) -> usize {
        self.frames
    }
}

/// Why remembered keys and values would not be those of the whole computation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryRefusal {
    /// Earlier frames see later ones.
    #[error(
        "temporal attention is not causal: given frames see the generated ones and change with them; set dit.causal \
             = true or roll out without history"
    )]
    NotCausal,
    /// A given frame behind a generated one sees it.
    #[error(
        "frame {frame} of clip {clip} is given behind a generated frame and changes with it; give only the first \
             frames, equally many of every clip, or roll out without history"
    )]
    NotLeading {
        /// Row of the batch.
        clip: usize,
        /// Latent frame.
        frame: usize,
    },
    /// Nothing is given.
    #[error("no frame is given, so there is nothing to remember")]
    Empty,
}

impl DitWorld {
    /// How many frames a history may hold for these given frames.
    ///
    /// # Errors
    /// A refusal says why a history would be inexact; the outer error is the device's.
    pub fn leading(&self, given: &Given) -> Result<std::result::Result<usize, HistoryRefusal>> {
        if !self.config().causal {
            return Ok(Err(HistoryRefusal::NotCausal));
        }
        let mask = given.generated().to_vec2::<f32>()?;
        let lead =
            mask.first().map_or(0, |row| row.iter().take_while(|generated| **generated == 0.0).count());
        for (clip, row) in mask.iter().enumerate() {
            let expected = |frame: usize| frame < lead;
            if let Some(frame) = (0..row.len()).find(|frame| (row[*frame] == 0.0) != expected(*frame)) {
                return Ok(Err(HistoryRefusal::NotLeading { clip, frame }));
            }
        }
        Ok(if lead == 0 { Err(HistoryRefusal::Empty) } else { Ok(lead) })
    }

    /// Remembers `clean` latents `(B, C, P, H, W)` behind `past`; the conditions' actions are those of these frames.
    ///
    /// # Errors
    /// [`HistoryRefusal::NotCausal`], shapes that do not fit.
    pub fn remember(
        &self,
        clean: &Tensor,
        conditions: &Conditions,
        past: Option<&History>,
    ) -> Result<History> {
        let times = self.times(None, true, conditions, clean)?;
        let (_, _, blocks) = self.behind(clean, &times, conditions, past)?;
        // Copies: a view would keep the queries alive as well.
        let blocks = blocks.iter().map(Tensor::contiguous).collect::<Result<_>>()?;
        Ok(History { blocks, frames: clean.dim(2)? + past.map_or(0, History::frames) })
    }

    /// Velocities `(B, out_channels, T, H, W)` of generated frames `x` `(B, C, T, H, W)` at times `t` `(B)` behind a
    /// history; the conditions' actions are those of the generated frames.
    ///
    /// # Errors
    /// [`HistoryRefusal::NotCausal`], shapes that do not fit.
    pub fn forward_behind(
        &self,
        history: &History,
        x: &Tensor,
        t: &Tensor,
        conditions: &Conditions,
    ) -> Result<Tensor> {
        let times = self.times(Some(t), false, conditions, x)?;
        let (tokens, grid, _) = self.behind(x, &times, conditions, Some(history))?;
        self.velocities(&tokens, &times, None, grid, x)
    }

    fn behind(
        &self,
        x: &Tensor,
        times: &Times,
        conditions: &Conditions,
        past: Option<&History>,
    ) -> Result<(Tensor, Grid, Vec<Tensor>)> {
        if !self.config().causal {
            return Err(candle_core::Error::wrap(HistoryRefusal::NotCausal));
        }
        let (mut tokens, grid) = self.tokens(x, conditions)?;
        let modulation = self.modulation(times, None, conditions)?;
        let text = self.text(conditions)?;
        let mut blocks = Vec::with_capacity(self.temporal.len());
        for (i, (space, time)) in self.spatial.iter().zip(&self.temporal).enumerate() {
            tokens = space.forward(&tokens, &modulation, text.as_ref())?;
            let past = past.map(|past| &past.blocks[i]);
            let (next, seen) = time.forward_behind(&tokens, &modulation, text.as_ref(), past)?;
            tokens = next;
            blocks.push(seen);
        }
        Ok((tokens, grid, blocks))
    }
}

/// A model behind a history, as a field that a sampler integrates over the generated frames alone.
#[derive(Clone, Copy, Debug)]
pub struct Continuation<'a>(pub &'a DitWorld);

impl Velocity for Continuation<'_> {
    type Context = (History, Conditions);

    /// Every frame of `x` is generated, whatever `given` says.
    fn velocity(&self, x: &Tensor, t: &Tensor, _given: &Given, context: &Self::Context) -> Result<Tensor> {
        self.0.forward_behind(&context.0, x, t, &context.1)
    }
}
