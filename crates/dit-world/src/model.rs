//! The diffusion transformer from latents to velocity.

use candle_core::{DType, Result, Tensor};
use candle_nn::var_builder::VarBuilder;
use cola_flow::{Given, Velocity};
use cola_nn::{Compute, Rope, add_rows, recompute};

use crate::block::{Axis, DitBlock};
use crate::conditions::Conditions;
use crate::config::DitConfig;
use crate::embed::{ScalarEmbed, TimeRows, position_table};
use crate::last::FinalLayer;
use crate::modulation::Modulation;
use crate::patch::{Grid, PatchEmbed, unpatchify};
use crate::text::{CaptionEmbed, Text};

/// STDiT3; parameter names are those of the published checkpoint.
#[derive(Clone, Debug)]
pub struct DitWorld {
    config: DitConfig,
    patches: PatchEmbed,
    time: ScalarEmbed,
    fps: ScalarEmbed,
    time_rows: TimeRows,
    captions: Option<CaptionEmbed>,
    pub(crate) spatial: Vec<DitBlock>,
    pub(crate) temporal: Vec<DitBlock>,
    last: FinalLayer,
    compute: Compute,
}

/// Embeddings of times `(1 or B, D)` and the frame rate.
pub(crate) struct Times {
    /// Of the frames that are generated, if there are any.
    pub(crate) moving: Option<Tensor>,
    /// Of time 0, if any frame is given.
    pub(crate) still: Option<Tensor>,
}

impl DitWorld {
    /// Tensors of a checkpoint that are never trained: the rotary frequencies and the null caption.
    pub const BUFFERS: [&str; 2] = ["rope.freqs", "y_embedder.y_embedding"];

    /// Builds or loads, depending on what the builder holds.
    ///
    /// # Errors
    /// A configuration that [`DitConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &DitConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let hidden = config.hidden_size;
        // The frequencies are a constant of the published checkpoint; recomputed when absent.
        let rope = if vb.contains_tensor("rope.freqs") {
            let size = hidden / config.num_heads / 2;
            Rope::from_freqs(&vb.get_with_hints(size, "rope.freqs", candle_nn::init::ZERO)?)?
        } else {
            Rope::new(hidden / config.num_heads, 10_000.0)?
        };
        let blocks = |axis: Axis, name: &str| -> Result<Vec<DitBlock>> {
            (0..config.depth)
                .map(|i| {
                    let rope = (axis == Axis::Time).then(|| rope.clone());
                    DitBlock::new(config, axis, rope, vb.pp(name).pp(i))
                })
                .collect()
        };
        let patch = [1, config.patch, config.patch];
        let outputs = config.patch * config.patch * config.out_channels();
        let text = config.text.as_ref();
        Ok(Self {
            patches: PatchEmbed::new(config.in_channels, patch, hidden, vb.pp("x_embedder"))?,
            time: ScalarEmbed::time(hidden, vb.pp("t_embedder"))?,
            fps: ScalarEmbed::fps(hidden, vb.pp("fps_embedder"))?,
            time_rows: TimeRows::new(hidden, vb.pp("t_block"))?,
            captions: text.map(|text| CaptionEmbed::new(text, hidden, vb.pp("y_embedder"))).transpose()?,
            spatial: blocks(Axis::Space, "spatial_blocks")?,
            temporal: blocks(Axis::Time, "temporal_blocks")?,
            last: FinalLayer::new(hidden, outputs, vb.pp("final_layer"))?,
            config: config.clone(),
            compute: Compute::default(),
        })
    }

    /// The same model with other switches between speed and memory.
    pub fn computing(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// Embeds captions, and says nothing; none in the paper form.
    pub fn captions(&self) -> Option<&CaptionEmbed> {
        self.captions.as_ref()
    }

    /// The velocity, `(B, out_channels, T, H, W)`, in f32 or wider.
    ///
    /// Without `given` every frame is generated. In a causal model a frame's velocity depends on that frame and earlier
    /// ones only.
    ///
    /// # Shapes
    /// - `x`: `(B, C, T, H, W)` latents; sides that the patch does not divide are padded and cropped again
    /// - `t`: `(B)` in `[0, 1000]`
    ///
    /// # Errors
    /// Shapes that do not fit, captions where there should be none or the other way round.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        given: Option<&Given>,
        conditions: &Conditions,
    ) -> Result<Tensor> {
        let (mut tokens, grid) = self.tokens(x, conditions)?;
        let times = self.times(Some(t), given.is_some(), conditions, x)?;
        let modulation = self.modulation(&times, given, conditions)?;
        let text = self.text(conditions)?;
        for (space, time) in self.spatial.iter().zip(&self.temporal) {
            tokens = self.run(space, &tokens, &modulation, text.as_ref())?;
            tokens = self.run(time, &tokens, &modulation, text.as_ref())?;
        }
        self.velocities(&tokens, &times, given, grid, x)
    }

    /// Tokens `(B, T, S, D)` with their positions in the frame.
    pub(crate) fn tokens(&self, x: &Tensor, conditions: &Conditions) -> Result<(Tensor, Grid)> {
        let x = self.compute.dtype.cast(x)?;
        let (tokens, grid) = self.patches.forward(&x)?;
        let hidden = self.config.hidden_size;
        if conditions.height == 0 || conditions.width == 0 {
            let (height, width) = (conditions.height, conditions.width);
            candle_core::bail!(
                "a video of {height} x {width} pixels has no positions; give its size in pixels"
            );
        }
        let scale =
            (conditions.height as f64 * conditions.width as f64).sqrt() / self.config.input_sq_size as f64;
        let base_size = ((grid.rows * grid.columns) as f64).sqrt().round();
        let table = position_table(grid, scale, base_size, hidden, x.dtype(), x.device())?;
        Ok((add_rows(&tokens, &table)?, grid))
    }

    /// A few rows decide every token: they are never narrower than f32.
    pub(crate) fn times(
        &self,
        t: Option<&Tensor>,
        given: bool,
        conditions: &Conditions,
        like: &Tensor,
    ) -> Result<Times> {
        let (wide, device) = (wide(like.dtype()), like.device());
        let fps = conditions.frame_rates(like.dim(0)?)?;
        let fps = self.fps.forward(&Tensor::new(fps, device)?, wide)?; // (1 or B, D)
        let embed = |t: &Tensor| add_rows(&self.time.forward(t, wide)?, &fps);
        Ok(Times {
            moving: t.map(embed).transpose()?,
            still: given.then(|| embed(&Tensor::zeros(1, DType::F64, device)?)).transpose()?,
        })
    }

    /// The rows of every frame: those of its time, and its action's added.
    pub(crate) fn modulation(
        &self,
        times: &Times,
        given: Option<&Given>,
        conditions: &Conditions,
    ) -> Result<Modulation> {
        let rows = |time: &Option<Tensor>| time.as_ref().map(|time| self.time_rows.forward(time)).transpose();
        let modulation = match (rows(&times.moving)?, rows(&times.still)?, given) {
            (Some(moving), Some(still), Some(given)) => Modulation::choose(&moving, &still, given)?,
            (Some(rows), _, _) | (None, Some(rows), _) => Modulation::shared(&rows)?,
            (None, None, _) => candle_core::bail!("a model without any time"),
        };
        match &conditions.action {
            Some(action) => modulation.add(action),
            None => Ok(modulation),
        }
    }

    /// Captions as tokens.
    pub(crate) fn text(&self, conditions: &Conditions) -> Result<Option<Text>> {
        match (&self.captions, &conditions.captions) {
            (Some(embed), Some(captions)) => embed.forward(captions).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => candle_core::bail!("the reference form of the model needs captions"),
            (None, Some(_)) => candle_core::bail!("the paper form of the model takes no captions"),
        }
    }

    /// Tokens to velocities of the shape of `x`.
    pub(crate) fn velocities(
        &self,
        tokens: &Tensor,
        times: &Times,
        given: Option<&Given>,
        grid: Grid,
        x: &Tensor,
    ) -> Result<Tensor> {
        let Some(moving) = &times.moving else {
            candle_core::bail!("given frames have no velocity");
        };
        let (_, _, _, height, width) = x.dims5()?;
        let out = self.last.forward(tokens, moving, given.zip(times.still.as_ref()))?;
        unpatchify(&out, self.config.patch, grid, (height, width))?.to_dtype(wide(x.dtype()))
    }

    fn run(
        &self,
        block: &DitBlock,
        tokens: &Tensor,
        modulation: &Modulation,
        text: Option<&Text>,
    ) -> Result<Tensor> {
        if !self.compute.recompute {
            return block.forward(tokens, modulation, text);
        }
        let block = block.clone();
        match text {
            None => recompute([tokens, modulation.rows()], move |[tokens, rows]| {
                block.forward(tokens, &Modulation::per_frame(rows), None)
            }),
            Some(text) => {
                let lengths = text.lengths().to_vec();
                recompute([tokens, modulation.rows(), text.tokens()], move |[tokens, rows, words]| {
                    let text = Text::packed(words, &lengths)?;
                    block.forward(tokens, &Modulation::per_frame(rows), Some(&text))
                })
            }
        }
    }
}

impl Velocity for DitWorld {
    type Context = Conditions;

    fn velocity(&self, x: &Tensor, t: &Tensor, given: &Given, context: &Conditions) -> Result<Tensor> {
        self.forward(x, t, Some(given), context)
    }
}

fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}
