//! The inverse dynamics model.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, RmsNorm, recompute, sinusoid};

use crate::block::Block;
use crate::config::{LamConfig, Readout};
use crate::patch::{PatchEmbed, Pixels};
use crate::pool::Pool;

/// Reads what happened between consecutive frames: a space-time transformer over patches, then attention pooling over
/// each pair of neighbouring frames (paper section 3.1; details as in villa-X).
#[derive(Clone, Debug)]
pub struct Idm {
    pixels: Pixels,
    embed: PatchEmbed,
    frame_positions: Tensor,
    layers: Vec<Block>,
    norm: RmsNorm,
    pool: Pool,
    readout: Readout,
    compute: Compute,
}

impl Idm {
    /// Parameters `embed`, `layers.i`, `norm`, `map_block`.
    ///
    /// # Errors
    /// A configuration that fails its check, a stored parameter of another shape.
    pub fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        config.checked()?;
        let frames: Vec<f64> = (0..config.max_frames).map(|frame| frame as f64).collect();
        let layers = vb.pp("layers");
        Ok(Self {
            pixels: Pixels::new(config, vb.dtype(), vb.device())?,
            embed: PatchEmbed::new(config, vb.pp("embed"))?,
            frame_positions: sinusoid::line_table(&frames, config.dim, vb.dtype(), vb.device())?,
            layers: (0..config.layers)
                .map(|layer| Block::new(config, layers.pp(layer)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(config.dim, vb.pp("norm"))?,
            pool: Pool::new(config, vb.pp("map_block"))?,
            readout: config.readout,
            compute: Compute::default(),
        })
    }

    /// The same model with other switches between speed and memory.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Latent actions before quantization. Action `t` leads from frame `t` to frame `t + 1` and, with
    /// `config.causal`, sees frames `0..=t + 1` only: a clip cut shorter has the same earlier actions.
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
    /// the positions), `layer0`, `layer1`, .. and `norm`, all `(B·T, N, D)`; `pooled` `(B·(T-1), N, D)`; `tokens` `(B·(T-1), n, d)`.
    ///
    /// # Errors
    /// As [`Idm::forward`].
    pub fn forward_with(&self, video: &Tensor, observe: &mut impl FnMut(&str, &Tensor)) -> Result<Tensor> {
        let frames = self.pixels.normalise(video)?;
        let (clips, length, ..) = frames.dims5()?;
        let most = self.frame_positions.dim(0)?;
        if !(2..=most).contains(&length) {
            candle_core::bail!(
                "a clip of {length} frames has no latent actions here: 2 to {most} frames are read"
            );
        }
        let kernels = self.compute.dtype.cast(&self.pixels.kernels(&frames)?)?;
        let projected = self.embed.project(&kernels)?;
        observe("patch_embed", &projected);
        let mut y = self.embed.place(&projected)?;
        let positions = self.frame_positions.narrow(0, 0, length)?;
        for (index, layer) in self.layers.iter().enumerate() {
            y = self.run(layer, &y, length, (index == 0).then_some(&positions))?;
            observe(&format!("layer{index}"), &y);
        }
        let y = self.norm.forward(&y)?;
        observe("norm", &y);
        let (_, patches, dim) = y.dims3()?;
        let y = y.reshape((clips, length, patches, dim))?;
        let (before, after) = (y.narrow(1, 0, length - 1)?, y.narrow(1, 1, length - 1)?);
        let features = match self.readout {
            Readout::Mean => ((before + after)? * 0.5)?,
            Readout::Difference => (after - before)?,
        };
        let features = features.reshape((clips * (length - 1), patches, dim))?;
        observe("pooled", &features);
        let tokens = self.pool.forward(&features)?.to_dtype(frames.dtype())?;
        observe("tokens", &tokens);
        let (_, count, size) = tokens.dims3()?;
        tokens.reshape((clips, length - 1, count, size))
    }

    fn run(&self, layer: &Block, y: &Tensor, length: usize, positions: Option<&Tensor>) -> Result<Tensor> {
        if !self.compute.recompute {
            return layer.forward(y, length, positions);
        }
        let (layer, positions) = (layer.clone(), positions.cloned());
        recompute([y], move |[y]| layer.forward(y, length, positions.as_ref()))
    }
}
