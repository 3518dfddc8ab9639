//! Inverse dynamics model and quantizer as one.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;

use cola_nn::Compute;

use crate::config::{LamConfig, Readout};
use crate::idm::Idm;
use crate::quantize::{Quantizer, VqLosses};

/// The latent actions of a batch of clips of T frames.
#[derive(Clone, Debug)]
pub struct Actions {
    /// Before quantization, `(B, T - 1, n, d)`.
    pub tokens: Tensor,
    /// After it, the n tokens one after the other: `(B, T - 1, n·d)`. Values are codebook rows, the gradient goes to
    /// `tokens`, unchanged unless [`QuantizerConfig`](crate::QuantizerConfig) says otherwise, and not to the codebook.
    pub embedding: Tensor,
    /// Chosen codebook rows, `(B, T - 1, n)` u32.
    pub codes: Tensor,
    /// What quantization cost.
    pub losses: VqLosses,
}

/// Finds latent actions in video: [`Idm`], then [`Quantizer`].
#[derive(Clone, Debug)]
pub struct LatentActionModel {
    config: LamConfig,
    idm: Idm,
    quantizer: Quantizer,
}

impl LatentActionModel {
    /// Parameters `encoder.*`, with [`Readout::Prompt`] `action_latent`, `encoder.*` and `to_codebook`, and those of
    /// [`Quantizer::new`] below `vq`.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        // The prompts and the last layer of that reading stand beside its `encoder`, not in it.
        let idm = if config.readout == Readout::Prompt { vb.clone() } else { vb.pp("encoder") };
        Ok(Self {
            config: config.clone(),
            idm: Idm::new(config, idm)?,
            quantizer: Quantizer::new(config, vb.pp("vq"))?,
        })
    }

    /// The same model with other switches between speed and memory. Quantization is always in f32.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.idm = self.idm.computing(compute);
        self
    }

    /// What it was built from.
    pub fn config(&self) -> &LamConfig {
        &self.config
    }

    /// The inverse dynamics model.
    pub fn idm(&self) -> &Idm {
        &self.idm
    }

    /// The quantizer.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// Tokens before quantization, see [`Idm::forward`]: `(B, T, 3, H, W)` in `[0, 1]` to `(B, T - 1, n, d)`.
    ///
    /// # Errors
    /// A video of other sides, fewer than two frames or more than `max_frames`.
    pub fn tokens(&self, video: &Tensor) -> Result<Tensor> {
        self.idm.forward(video)
    }

    /// Latent actions of a video `(B, T, 3, H, W)`, pixels in `[0, 1]`.
    ///
    /// # Errors
    /// As [`LatentActionModel::tokens`].
    pub fn infer(&self, video: &Tensor) -> Result<Actions> {
        self.quantize(&self.tokens(video)?)
    }

    /// Latent actions of tokens `(B, T - 1, n, d)`.
    ///
    /// # Errors
    /// Tokens of another number or size than the configuration's.
    pub fn quantize(&self, tokens: &Tensor) -> Result<Actions> {
        let (clips, steps, count, size) = tokens.dims4()?;
        if (count, size) != (self.config.tokens, self.config.code_dim) {
            candle_core::bail!(
                "tokens of shape {:?}, expected (clips, transitions, {}, {})",
                tokens.dims(),
                self.config.tokens,
                self.config.code_dim
            );
        }
        let found = self.quantizer.quantize(tokens)?;
        Ok(Actions {
            tokens: tokens.clone(),
            embedding: found.rows.reshape((clips, steps, count * size))?,
            codes: found.codes,
            losses: found.losses,
        })
    }

    /// Latent actions from their codes, `(B, T - 1, n)` u32 to `(B, T - 1, n·d)`; constants, equal to what
    /// [`LatentActionModel::infer`] embeds for these codes.
    ///
    /// # Errors
    /// Another number of codes than `tokens`, a code that the codebook does not have.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor> {
        let (clips, steps, count) = codes.dims3()?;
        if count != self.config.tokens {
            candle_core::bail!(
                "codes of shape {:?}, an action has {} of them",
                codes.dims(),
                self.config.tokens
            );
        }
        self.quantizer.embed(codes)?.reshape((clips, steps, self.config.action_dim()))
    }
}
