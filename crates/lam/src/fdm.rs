//! The forward dynamics model.

use candle_core::{D, Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::Compute;

use crate::config::{LamConfig, Readout};
use crate::patch::Pixels;
use crate::pooled::PooledDecoder;
use crate::precision::at_least_f32;
use crate::prompt::{ActionInput, PromptConfig, PromptDecoder};

/// A batch in which nothing moves has a motion energy of zero; this keeps its weights finite.
const STILL: f64 = 1e-12;

/// Predicts frame `t + 1` from frame `t` and the latent action between them: a spatial transformer over the frame's
/// patches and the action (paper section 3.1). With a pooled [`Readout`] the action is one token and the blocks are those
/// of villa-X, which fit the paper's 0.12 B; with [`Readout::Prompt`] it is `n` tokens and the blocks are UniVLA's.
///
/// Frames are true ones throughout (teacher forcing); predictions are normalised pixel patches, see [`Pixels`].
#[derive(Clone, Debug)]
pub struct Fdm {
    pixels: Pixels,
    reading: Reading,
    residual: bool,
    action: [usize; 2],
    compute: Compute,
}

#[derive(Clone, Debug)]
enum Reading {
    Pooled(PooledDecoder),
    Prompt(PromptDecoder),
}

impl Fdm {
    /// Parameters `decoder.{embed, action_embed, layers.i, norm, pred_head}`; with [`Readout::Prompt`] those of
    /// [`PromptDecoder`].
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        Ok(Self {
            pixels: Pixels::new(config, vb.dtype(), vb.device())?,
            reading: match config.readout {
                Readout::Mean | Readout::Difference => {
                    Reading::Pooled(PooledDecoder::new(config, vb.pp("decoder"))?)
                }
                Readout::Prompt => {
                    let shape = PromptConfig::fdm(config);
                    Reading::Prompt(PromptDecoder::new(&shape, ActionInput::Tokens, vb)?)
                }
            },
            residual: config.fdm_residual,
            action: [config.tokens, config.code_dim],
            compute: Compute::default(),
        })
    }

    /// The same model with other switches between speed and memory.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// The normalised patches of frames `1..T`.
    ///
    /// # Shapes
    /// - `video`: `(B, T, 3, H, W)`, pixels in `[0, 1]`; only frames `0..T - 1` are read
    /// - `actions`: `(B, T - 1, n·d)`
    /// - returns `(B, T - 1, N, 3P²)`, ordered as in [`Pixels::patches`]
    ///
    /// # Errors
    /// A video of other sides or of one frame, actions for another number of transitions; the message gives both.
    pub fn predict(&self, video: &Tensor, actions: &Tensor) -> Result<Tensor> {
        self.predict_with(video, actions, &mut |_, _| {})
    }

    /// [`Fdm::predict`] that shows `layer0`, `layer1`, .. to `observe`, all `(B·(T-1), 1 + N, D)`, the action first; in
    /// the prompt reading `block0`, `block1`, .. `(B, T - 1, n + N, D)`.
    ///
    /// # Errors
    /// As [`Fdm::predict`].
    pub fn predict_with(
        &self,
        video: &Tensor,
        actions: &Tensor,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        self.predict_normalised(&self.pixels.normalise(video)?, actions, observe)
    }

    /// What [`Fdm::predict`] should have found: the normalised patches of frames `1..T`, `(B, T - 1, N, 3P²)`, without
    /// a gradient.
    ///
    /// # Errors
    /// A video of other sides or of one frame.
    pub fn target(&self, video: &Tensor) -> Result<Tensor> {
        let frames = self.pixels.normalise(&video.detach())?;
        let steps = transitions(&frames)?;
        self.pixels.patches(&frames.narrow(1, 1, steps)?)
    }

    /// Squared error of the prediction, a scalar (f32, or f64 for an f64 model).
    ///
    /// With `weighting` 0 the plain mean. With `w > 0` each patch counts `(1 + w m) / (1 + w)`, where `m` is its motion,
    /// the squared difference of the two true frames there, divided by the mean of the batch; the weights' mean is one.
    /// Small models need it, or the still background drowns what the actions do.
    ///
    /// # Errors
    /// As [`Fdm::predict`].
    pub fn loss(&self, video: &Tensor, actions: &Tensor, weighting: f64) -> Result<Tensor> {
        let frames = self.pixels.normalise(video)?;
        let steps = transitions(&frames)?;
        let found = self.predict_normalised(&frames, actions, &mut |_, _| {})?;
        let patches = self.pixels.patches(&frames.detach())?;
        let target = patches.narrow(1, 1, steps)?;
        let error = at_least_f32(&(found - &target)?)?.sqr()?.mean(D::Minus1)?; // (B, T - 1, N)
        if weighting == 0.0 {
            return error.mean_all();
        }
        let motion = at_least_f32(&(target - patches.narrow(1, 0, steps)?)?)?.sqr()?.mean(D::Minus1)?;
        let relative = motion.broadcast_div(&(motion.mean_all()? + STILL)?)?;
        let weight = relative.affine(weighting / (1.0 + weighting), 1.0 / (1.0 + weighting))?;
        (error * weight)?.mean_all()
    }

    fn predict_normalised(
        &self,
        frames: &Tensor,
        actions: &Tensor,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let clips = frames.dim(0)?;
        let steps = transitions(frames)?;
        let [tokens, size] = self.action;
        if actions.dims() != [clips, steps, tokens * size] {
            candle_core::bail!(
                "actions of shape {:?}, a video of shape {:?} has transitions of shape {:?}",
                actions.dims(),
                frames.dims(),
                [clips, steps, tokens * size]
            );
        }
        let given = frames.narrow(1, 0, steps)?;
        let found = match &self.reading {
            Reading::Pooled(decoder) => {
                let actions = actions.reshape((clips * steps, 1, tokens * size))?;
                decoder.forward(&self.pixels.kernels(&given)?, &actions, self.compute, observe)?
            }
            Reading::Prompt(decoder) => {
                let actions = actions.reshape((clips, steps, tokens, size))?;
                decoder.forward(&self.pixels.patches(&given)?, &actions, self.compute, observe)?
            }
        };
        let (count, values) = (found.dim(D::Minus2)?, found.dim(D::Minus1)?);
        let found = found.to_dtype(frames.dtype())?.reshape((clips, steps, count, values))?;
        if self.residual { found + self.pixels.patches(&given)? } else { Ok(found) }
    }
}

/// Frames minus one.
fn transitions(frames: &Tensor) -> Result<usize> {
    match frames.dim(1)? {
        0 | 1 => candle_core::bail!(
            "a video of shape {:?} has no transition: give two frames or more",
            frames.dims()
        ),
        length => Ok(length - 1),
    }
}
