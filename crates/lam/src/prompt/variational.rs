//! The prompt reading with a continuous action: the mean, or a draw, of a posterior instead of a code (AdaWorld).

use candle_core::{D, Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, Linear, Rope};
use serde::{Deserialize, Serialize};

use super::PromptConfig;
use super::block::TimeAttention;
use super::decoder::{ActionInput, PromptDecoder};
use super::encoder::Reader;
use crate::error::ConfigError;
use crate::patch::{frames_of, patches_of};
use crate::precision::at_least_f32;

/// Everything that decides the shape of a [`VariationalActionModel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariationalConfig {
    /// Side of the square frames, pixels.
    pub image: usize,
    /// Side of a square patch, pixels.
    pub patch: usize,
    /// Width of all tokens inside the model.
    pub dim: usize,
    /// Attention heads; the head size is even.
    pub heads: usize,
    /// Blocks of the encoder.
    pub layers: usize,
    /// Blocks of the decoder.
    pub fdm_layers: usize,
    /// Numbers in an action.
    pub action_dim: usize,
    /// An action sees no frame after the one it leads to. AdaWorld's own default is not.
    pub causal: bool,
    /// Base of the rotary frame positions.
    pub rope_theta: f64,
    /// Weight of the divergence from the standard normal distribution.
    pub kl_weight: f64,
}

impl VariationalConfig {
    /// The paper's sizes in this reading: 224 pixels, 12 + 12 layers of width 768, actions of 32 numbers.
    pub fn paper() -> Self {
        Self { image: 224, patch: 14, dim: 768, heads: 12, layers: 12, fdm_layers: 12, ..Self::tiny() }
    }

    /// 32 pixels, 2 + 2 layers of width 64.
    pub fn tiny() -> Self {
        Self {
            image: 32,
            patch: 8,
            dim: 64,
            heads: 4,
            layers: 2,
            fdm_layers: 2,
            action_dim: 32,
            causal: true,
            rope_theta: 10_000.0,
            kl_weight: 0.01,
        }
    }

    /// Whether a model of these sizes can exist.
    ///
    /// # Errors
    /// The first field that does not fit, with its value and the value that it clashes with.
    pub fn check(&self) -> std::result::Result<(), ConfigError> {
        for (name, value) in [
            ("image", self.image),
            ("dim", self.dim),
            ("layers", self.layers),
            ("fdm_layers", self.fdm_layers),
            ("action_dim", self.action_dim),
        ] {
            ConfigError::least(name, value, 1)?;
        }
        ConfigError::divide(("patch", self.patch), ("image", self.image))?;
        ConfigError::divide(("heads", self.heads), ("dim", self.dim))?;
        if !(self.dim / self.heads).is_multiple_of(2) {
            return Err(ConfigError::OddHead { dim: self.dim, heads: self.heads });
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return Err(ConfigError::Positive { name: "rope_theta", value: self.rope_theta });
        }
        ConfigError::weight("kl_weight", self.kl_weight)
    }

    fn transformer(&self, layers: usize) -> PromptConfig {
        PromptConfig {
            features: 3 * self.patch.pow(2),
            patches: (self.image / self.patch).pow(2),
            dim: self.dim,
            heads: self.heads,
            layers,
            tokens: 1,
            code_dim: self.action_dim,
        }
    }
}

/// What the encoder believes about the actions of a batch of clips: independent normal distributions.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// `(B, T - 1, d)`; the action where nothing is drawn.
    pub mean: Tensor,
    /// Logarithm of the variance, `(B, T - 1, d)`.
    pub log_variance: Tensor,
}

impl Posterior {
    /// `mean + exp(log_variance / 2) noise` for standard normal noise of the same shape.
    ///
    /// # Errors
    /// Noise of another shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        &self.mean + (&self.log_variance * 0.5)?.exp()?.mul(noise)?
    }

    /// Divergence from the standard normal distribution, the mean over transitions: a scalar (f32, or f64 for f64).
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn divergence(&self) -> Result<Tensor> {
        let (mean, log_variance) = (at_least_f32(&self.mean)?, at_least_f32(&self.log_variance)?);
        let each = (((&log_variance + 1.0)? - mean.sqr()?)? - log_variance.exp()?)?;
        each.sum(D::Minus1)?.mean_all()? * -0.5
    }
}

/// What a prediction cost.
#[derive(Clone, Debug)]
pub struct VariationalLosses {
    /// Mean squared error of the pixels, a scalar.
    pub reconstruction: Tensor,
    /// See [`Posterior::divergence`].
    pub divergence: Tensor,
}

impl VariationalLosses {
    /// `reconstruction + kl_weight * divergence`, a scalar.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn total(&self, config: &VariationalConfig) -> Result<Tensor> {
        &self.reconstruction + (&self.divergence * config.kl_weight)?
    }
}

/// A latent action model without a codebook (AdaWorld's): one prompt a frame, rotary frame positions, an action that is
/// added to every patch of the frame it starts from, pixels in `[0, 1]` that come out of a sigmoid.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_lam::{VariationalActionModel, VariationalConfig};
/// use cola_nn::Params;
///
/// # fn main() -> candle_core::Result<()> {
/// let config = VariationalConfig::tiny();
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let model = VariationalActionModel::new(&config, params.trainable())?;
/// let video = Tensor::rand(0f32, 1f32, (2, 3, 3, 32, 32), &Device::Cpu)?; // two clips of three frames
/// let posterior = model.posterior(&video)?;
/// let actions = posterior.sample(&posterior.mean.randn_like(0.0, 1.0)?)?;
/// let loss = model.losses(&video, &posterior, &actions)?.total(&config)?;
/// assert!(loss.backward()?.get(params.get("action_prompt").unwrap().as_tensor()).is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VariationalActionModel {
    config: VariationalConfig,
    reader: Reader,
    moments: Linear,
    decoder: PromptDecoder,
    compute: Compute,
}

impl VariationalActionModel {
    /// Parameters `action_prompt` `(1, 1, 1, 3P²)`; `encoder.*` and `decoder.*` as in
    /// [`PromptEncoder`](crate::PromptEncoder) and [`PromptDecoder`], the encoder with a last layer `encoder.out`; `fc`,
    /// mean before log-variance; `patch_up`, `action_up`.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &VariationalConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let rope = Rope::new(config.dim / config.heads, config.rope_theta)?;
        let time = TimeAttention { causal: config.causal, rope: Some(rope) };
        let shape = config.transformer(config.layers);
        Ok(Self {
            config: config.clone(),
            reader: Reader::new(&shape, "action_prompt", &time, true, vb.clone())?,
            moments: Linear::new(config.dim, 2 * config.action_dim, vb.pp("fc"))?,
            decoder: PromptDecoder::new(&config.transformer(config.fdm_layers), ActionInput::Added, vb)?,
            compute: Compute::default(),
        })
    }

    /// The same model with other switches between speed and memory.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// What happened between consecutive frames: `(B, T, 3, H, W)` in `[0, 1]`, `T >= 2`, to distributions over
    /// `(B, T - 1, d)`.
    ///
    /// # Errors
    /// A video of other sides or of one frame; the message gives both shapes.
    pub fn posterior(&self, video: &Tensor) -> Result<Posterior> {
        self.posterior_with(video, &mut |_, _| {})
    }

    /// [`VariationalActionModel::posterior`] that shows `block0`, `block1`, .. `(B, T, 1 + N, D)`, the prompt first.
    ///
    /// # Errors
    /// As [`VariationalActionModel::posterior`].
    pub fn posterior_with(
        &self,
        video: &Tensor,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Posterior> {
        let read = self.reader.forward(&self.patches(video)?, self.compute, observe)?;
        let moments = self.moments.forward(&read)?.squeeze(2)?.to_dtype(video.dtype())?;
        let half = |start: usize| moments.narrow(D::Minus1, start, self.config.action_dim)?.contiguous();
        Ok(Posterior { mean: half(0)?, log_variance: half(self.config.action_dim)? })
    }

    /// Frames `1..T`, `(B, T - 1, 3, H, W)` in `(0, 1)`, from frames `0..T - 1` of the video `(B, T, 3, H, W)` and the
    /// actions `(B, T - 1, d)` between them.
    ///
    /// # Errors
    /// As [`VariationalActionModel::posterior`]; actions for another number of transitions.
    pub fn predict(&self, video: &Tensor, actions: &Tensor) -> Result<Tensor> {
        let patches = self.patches(video)?;
        let given = patches.narrow(1, 0, patches.dim(1)?.saturating_sub(1))?;
        let found = self.decoder.forward(&given, &actions.unsqueeze(2)?, self.compute, &mut |_, _| {})?;
        let pixels = candle_nn::ops::sigmoid(&at_least_f32(&found)?)?.to_dtype(video.dtype())?;
        frames_of(&pixels, self.config.patch)
    }

    /// What the prediction from these actions, a draw or the mean of the posterior, costs. The true frames carry no
    /// gradient as targets.
    ///
    /// # Errors
    /// As [`VariationalActionModel::predict`].
    pub fn losses(
        &self,
        video: &Tensor,
        posterior: &Posterior,
        actions: &Tensor,
    ) -> Result<VariationalLosses> {
        let found = self.predict(video, actions)?;
        let target = video.detach().narrow(1, 1, found.dim(1)?)?;
        Ok(VariationalLosses {
            reconstruction: at_least_f32(&(found - target)?)?.sqr()?.mean_all()?,
            divergence: posterior.divergence()?,
        })
    }

    fn patches(&self, video: &Tensor) -> Result<Tensor> {
        let side = self.config.image;
        match video.dims() {
            &[_, length, 3, height, width] if length > 1 && (height, width) == (side, side) => {
                patches_of(video, self.config.patch)
            }
            found => candle_core::bail!(
                "video of shape {found:?}, expected (clips, 2 frames or more, 3, {side}, {side})"
            ),
        }
    }
}
