//! The inverse dynamics model.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::Compute;

use crate::config::{LamConfig, Readout};
use crate::patch::Pixels;
use crate::pooled::PooledEncoder;
use crate::prompt::{PromptConfig, PromptEncoder};

/// Reads what happened between consecutive frames: a space-time transformer over patches that sees no later frame, and
/// one of the readings of [`Readout`] (paper section 3.1; details as in villa-X or UniVLA).
#[derive(Clone, Debug)]
pub struct Idm {
    pixels: Pixels,
    reading: Reading,
    max_frames: usize,
    compute: Compute,
}

#[derive(Clone, Debug)]
enum Reading {
    Pooled(PooledEncoder),
    Prompt(PromptEncoder),
}

impl Idm {
    /// Parameters `embed`, `layers.i`, `norm`, `map_block`; with [`Readout::Prompt`] those of [`PromptEncoder`].
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        Ok(Self {
            pixels: Pixels::new(config, vb.dtype(), vb.device())?,
            reading: match config.readout {
                Readout::Mean | Readout::Difference => Reading::Pooled(PooledEncoder::new(config, vb)?),
                Readout::Prompt => {
                    Reading::Prompt(PromptEncoder::new(&PromptConfig::idm(config), config.causal, vb)?)
                }
            },
            max_frames: config.max_frames,
            compute: Compute::default(),
        })
    }

    /// The same model with other switches between speed and memory.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Latent actions before quantization. Action `t` leads from frame `t` to frame `t + 1` and, with
    /// `config.causal`, sees frames `0..=t + 1` only: a clip cut shorter has the same earlier actions, on the CPU in f32
    /// to the last bit.
    ///
    /// # Shapes
    /// - `video`: `(B, T, 3, H, W)`, pixels in `[0, 1]`, `2 <= T <= config.max_frames`, `H = W = config.image`
    /// - returns `(B, T - 1, config.tokens, config.code_dim)`
    ///
    /// # Errors
    /// A video of other sides or length; the message gives what was found and what is expected.
    pub fn forward(&self, video: &Tensor) -> Result<Tensor> {
        self.forward_with(video, &mut |_, _| {})
    }

    /// [`Idm::forward`] that shows its intermediate results to `observe`, each with its name: `patch_embed` (before
    /// the positions), `layer0`, `layer1`, .. and `norm`, all `(B·T, N, D)`; `pooled` `(B·(T-1), N, D)`. The prompt
    /// reading has `block0`, `block1`, .. `(B, T, n + N, D)` instead. Both: `tokens` `(B, T - 1, n, d)`.
    ///
    /// # Errors
    /// As [`Idm::forward`].
    pub fn forward_with(&self, video: &Tensor, observe: &mut impl FnMut(&str, &Tensor)) -> Result<Tensor> {
        let frames = self.pixels.normalise(video)?;
        let (clips, length, ..) = frames.dims5()?;
        if !(2..=self.max_frames).contains(&length) {
            candle_core::bail!(
                "a clip of {length} frames has no latent actions here: 2 to {} frames are read",
                self.max_frames
            );
        }
        let tokens = match &self.reading {
            Reading::Pooled(encoder) => {
                let tokens =
                    encoder.forward(&self.pixels.kernels(&frames)?, length, self.compute, observe)?;
                let (_, count, size) = tokens.dims3()?;
                tokens.reshape((clips, length - 1, count, size))?
            }
            Reading::Prompt(encoder) => {
                encoder.forward(&self.pixels.patches(&frames)?, self.compute, observe)?
            }
        };
        let tokens = tokens.to_dtype(frames.dtype())?;
        observe("tokens", &tokens);
        Ok(tokens)
    }
}
