//! The forward dynamics model.

use candle_core::{D, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, GatedMlp, Linear, RmsNorm, gate_add, recompute};

use crate::attention::Attention;
use crate::config::LamConfig;
use crate::patch::{PatchEmbed, Pixels};
use crate::precision::at_least_f32;

/// Start of the vectors that scale a branch.
const LAYER_SCALE: f64 = 0.1;
/// A batch in which nothing moves has a motion energy of zero; this keeps its weights finite.
const STILL: f64 = 1e-12;

/// `x += gamma1 * Attention(RMS(x))`, `x += gamma2 * MLP(RMS(x))`; the feed-forward layer is gated with SiLU.
#[derive(Clone, Debug)]
struct FdmBlock {
    attention_norm: RmsNorm,
    attention: Attention,
    attention_scale: Tensor,
    mlp_norm: RmsNorm,
    mlp: GatedMlp,
    mlp_scale: Tensor,
}

impl FdmBlock {
    /// Parameters `pre_norm_attn`, `attn`, `layer_scale_attn.gamma`, `pre_norm_mlp`, `mlp.0.project`, `mlp.2`,
    /// `layer_scale_mlp.gamma`.
    fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let scale = |name: &str| vb.pp(name).get_with_hints(dim, "gamma", Init::Const(LAYER_SCALE));
        Ok(Self {
            attention_norm: RmsNorm::new(dim, vb.pp("pre_norm_attn"))?,
            attention: Attention::normed(dim, config.fdm_heads, vb.pp("attn"))?,
            attention_scale: scale("layer_scale_attn")?,
            mlp_norm: RmsNorm::new(dim, vb.pp("pre_norm_mlp"))?,
            mlp: GatedMlp::new(dim, 4 * dim, vb.pp("mlp.0.project"), vb.pp("mlp.2"))?,
            mlp_scale: scale("layer_scale_mlp")?,
        })
    }

    /// `(M, L, D)` to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.attention_norm.forward(x)?;
        let x = gate_add(x, &self.attention_scale, &self.attention.forward(&normed, &normed)?)?;
        let branch = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        gate_add(&x, &self.mlp_scale, &branch)
    }
}

/// Predicts frame `t + 1` from frame `t` and the latent action between them: a spatial transformer over the frame's
/// patches and one token made of the action (paper section 3.1; blocks as in villa-X, which fits the paper's 0.12 B).
///
/// Frames are true ones throughout (teacher forcing); predictions are normalised pixel patches, see [`Pixels`].
#[derive(Clone, Debug)]
pub struct Fdm {
    pixels: Pixels,
    embed: PatchEmbed,
    action: Linear,
    layers: Vec<FdmBlock>,
    norm: RmsNorm,
    head: Linear,
    residual: bool,
    action_dim: usize,
    compute: Compute,
}

impl Fdm {
    /// Parameters `decoder.{embed, action_embed, layers.i, norm, pred_head}`.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        let (vb, dim) = (vb.pp("decoder"), config.dim);
        let layers = vb.pp("layers");
        Ok(Self {
            pixels: Pixels::new(config, vb.dtype(), vb.device())?,
            embed: PatchEmbed::new(config, vb.pp("embed"))?,
            action: Linear::new(config.action_dim(), dim, vb.pp("action_embed"))?,
            layers: (0..config.fdm_layers)
                .map(|layer| FdmBlock::new(config, layers.pp(layer)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(dim, vb.pp("norm"))?,
            head: Linear::new(dim, config.patch_values(), vb.pp("pred_head"))?,
            residual: config.fdm_residual,
            action_dim: config.action_dim(),
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

    /// [`Fdm::predict`] that shows `layer0`, `layer1`, .. to `observe`, all `(B·(T-1), 1 + N, D)`, the action first.
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
        if actions.dims() != [clips, steps, self.action_dim] {
            candle_core::bail!(
                "actions of shape {:?}, a video of shape {:?} has transitions of shape {:?}",
                actions.dims(),
                frames.dims(),
                [clips, steps, self.action_dim]
            );
        }
        let given = frames.narrow(1, 0, steps)?;
        let kernels = self.compute.dtype.cast(&self.pixels.kernels(&given)?)?;
        let patches = self.embed.place(&self.embed.project(&kernels)?)?;
        let count = patches.dim(1)?;
        let actions = self.compute.dtype.cast(actions)?.reshape((clips * steps, 1, self.action_dim))?;
        let action = self.action.forward(&actions)?;
        let mut x = Tensor::cat(&[action, patches], 1)?;
        for (index, layer) in self.layers.iter().enumerate() {
            x = self.run(layer, &x)?;
            observe(&format!("layer{index}"), &x);
        }
        let found = self.head.forward(&self.norm.forward(&x.narrow(1, 1, count)?)?)?;
        let found = found.to_dtype(frames.dtype())?.reshape((clips, steps, count, ()))?;
        if self.residual { found + self.pixels.patches(&given)? } else { Ok(found) }
    }

    fn run(&self, layer: &FdmBlock, x: &Tensor) -> Result<Tensor> {
        if !self.compute.recompute {
            return layer.forward(x);
        }
        let layer = layer.clone();
        recompute([x], move |[x]| layer.forward(x))
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
