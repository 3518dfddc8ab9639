//! From patches to action tokens: a space-time transformer, then attention pooling.

use candle_core::{Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_nn::{Compute, RmsNorm, sinusoid};

use super::block::Block;
use super::pool::Pool;
use crate::config::{LamConfig, Readout};
use crate::patch::PatchEmbed;

/// A space-time transformer over patches, then attention pooling over each pair of neighbouring frames.
#[derive(Clone, Debug)]
pub(crate) struct PooledEncoder {
    embed: PatchEmbed,
    frame_positions: Tensor,
    layers: Vec<Block>,
    norm: RmsNorm,
    pool: Pool,
    difference: bool,
}

impl PooledEncoder {
    /// Parameters `embed`, `layers.i`, `norm`, `map_block`.
    pub(crate) fn new(config: &LamConfig, vb: VarBuilder) -> Result<Self> {
        let frames: Vec<f64> = (0..config.max_frames).map(|frame| frame as f64).collect();
        let layers = vb.pp("layers");
        Ok(Self {
            embed: PatchEmbed::new(config, vb.pp("embed"))?,
            frame_positions: sinusoid::line_table(&frames, config.dim, vb.dtype(), vb.device())?,
            layers: (0..config.layers)
                .map(|layer| Block::new(config, layers.pp(layer)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(config.dim, vb.pp("norm"))?,
            pool: Pool::new(config, vb.pp("map_block"))?,
            difference: config.readout == Readout::Difference,
        })
    }

    /// Patches `(B·T, N, 3P²)` in kernel order to tokens `(B·(T-1), n, d)`, with `length` = T.
    pub(crate) fn forward(
        &self,
        kernels: &Tensor,
        length: usize,
        compute: Compute,
        observe: &mut impl FnMut(&str, &Tensor),
    ) -> Result<Tensor> {
        let projected = self.embed.project(&compute.dtype.cast(kernels)?)?;
        observe("patch_embed", &projected);
        let mut y = self.embed.place(&projected)?;
        let positions = self.frame_positions.narrow(0, 0, length)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let positions = (index == 0).then(|| positions.clone());
            y = compute.run(layer, &y, move |layer, y| layer.forward(y, length, positions.as_ref()))?;
            observe(&format!("layer{index}"), &y);
        }
        let y = self.norm.forward(&y)?;
        observe("norm", &y);
        let (rows, patches, dim) = y.dims3()?;
        let clips = rows / length;
        let y = y.reshape((clips, length, patches, dim))?;
        let (before, after) = (y.narrow(1, 0, length - 1)?, y.narrow(1, 1, length - 1)?);
        let features = if self.difference { (after - before)? } else { ((before + after)? * 0.5)? };
        let features = features.reshape((clips * (length - 1), patches, dim))?;
        observe("pooled", &features);
        self.pool.forward(&features)
    }
}
