//! The diffusion transformer from latents to velocity.

use candle_core::{DType, Result, Tensor};
use candle_nn::init::Init;
use candle_nn::var_builder::VarBuilder;
use cola_flow::{Given, Velocity};
use cola_nn::{Compute, Linear, Rope, add_rows, modulate, recompute, silu};

use crate::block::{Axis, DitBlock, EPS};
use crate::config::DitConfig;
use crate::embed::{ScalarEmbed, position_table};
use crate::modulation::Modulation;
use crate::patch::{PatchEmbed, unpatchify};

/// What the velocity depends on beside the noised latents and the time.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Modulation rows of the actions `(B, T, 6 D)` from [`crate::ActionConditioner`]; none for a plain video model.
    pub action: Option<Tensor>,
    /// Frames per second: one number for all clips of the batch, or one a clip.
    pub fps: Vec<f64>,
    /// Height of the video in pixels (not latent pixels).
    pub height: usize,
    /// Width of the video in pixels.
    pub width: usize,
}

impl Conditions {
    /// With one frame rate for all clips.
    pub fn new(action: Option<Tensor>, fps: f64, height: usize, width: usize) -> Self {
        Self { action, fps: vec![fps], height, width }
    }
}

/// STDiT3 in the paper's form; parameter names are those of the published checkpoint.
#[derive(Clone, Debug)]
pub struct DitWorld {
    config: DitConfig,
    patches: PatchEmbed,
    time: ScalarEmbed,
    fps: ScalarEmbed,
    time_rows: Linear,
    spatial: Vec<DitBlock>,
    temporal: Vec<DitBlock>,
    last: FinalLayer,
    compute: Compute,
}

impl DitWorld {
    /// Builds or loads, depending on what the builder holds.
    ///
    /// # Errors
    /// A configuration that [`DitConfig::check`] refuses, a stored parameter of another shape.
    pub fn new(config: &DitConfig, vb: VarBuilder) -> Result<Self> {
        config.check().map_err(candle_core::Error::wrap)?;
        let hidden = config.hidden_size;
        // The frequencies are a constant of the published checkpoint; recomputed when absent.
        let rope = if vb.contains_tensor("rope.freqs") {
            Rope::from_freqs(&vb.get(hidden / config.num_heads / 2, "rope.freqs")?)?
        } else {
            Rope::new(hidden / config.num_heads, 10_000.0)?
        };
        let block = |axis: Axis, name: &str, i: usize| {
            let rope = (axis == Axis::Time).then(|| rope.clone());
            DitBlock::new(hidden, config.num_heads, config.mlp_ratio, axis, rope, vb.pp(name).pp(i))
        };
        Ok(Self {
            patches: PatchEmbed::new(config.in_channels, config.patch, hidden, vb.pp("x_embedder"))?,
            time: ScalarEmbed::time(hidden, vb.pp("t_embedder"))?,
            fps: ScalarEmbed::fps(hidden, vb.pp("fps_embedder"))?,
            time_rows: Linear::new(hidden, 6 * hidden, vb.pp("t_block.1"))?,
            spatial: (0..config.depth)
                .map(|i| block(Axis::Space, "spatial_blocks", i))
                .collect::<Result<_>>()?,
            temporal: (0..config.depth)
                .map(|i| block(Axis::Time, "temporal_blocks", i))
                .collect::<Result<_>>()?,
            last: FinalLayer::new(config, vb.pp("final_layer"))?,
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

    /// The velocity, `(B, out_channels, T, H, W)`, in f32 or wider.
    ///
    /// Without `given` every frame is generated. A frame's velocity depends on that frame and earlier ones only.
    ///
    /// # Shapes
    /// - `x`: `(B, C, T, H, W)` latents; sides that the patch does not divide are padded and cropped again
    /// - `t`: `(B)` in `[0, 1000]`
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        given: Option<&Given>,
        conditions: &Conditions,
    ) -> Result<Tensor> {
        let (_, _, _, height, width) = x.dims5()?;
        let x = self.compute.dtype.cast(x)?;
        let dtype = x.dtype();
        let (tokens, grid) = self.patches.forward(&x)?;
        let pixels = (conditions.height, conditions.width);
        let hidden = self.config.hidden_size;
        let table = position_table(grid, pixels, self.config.input_sq_size, hidden, dtype, x.device())?;
        let mut tokens = add_rows(&tokens, &table)?;

        // A few rows decide every token: they are never narrower than f32.
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let fps = self.fps.forward(&Tensor::new(conditions.fps.as_slice(), x.device())?, wide)?; // (1 or B, D)
        let embed = |t: &Tensor| add_rows(&self.time.forward(t, wide)?, &fps);
        let moving = embed(t)?;
        let moving_rows = self.time_rows.forward(&silu(&moving)?)?;
        let still = given.map(|_| embed(&Tensor::zeros(1, DType::F64, x.device())?)).transpose()?; // (1 or B, D)
        let modulation = match (given, &still) {
            (Some(given), Some(still)) => {
                Modulation::choose(&moving_rows, &self.time_rows.forward(&silu(still)?)?, given)?
            }
            _ => Modulation::shared(&moving_rows)?,
        };
        let modulation = match &conditions.action {
            Some(action) => modulation.add(&action.to_dtype(wide)?)?,
            None => modulation,
        };

        for (space, time) in self.spatial.iter().zip(&self.temporal) {
            tokens = self.run(space, &tokens, &modulation)?;
            tokens = self.run(time, &tokens, &modulation)?;
        }
        let out = self.last.forward(&tokens, &moving, still.as_ref(), given)?;
        let out = unpatchify(&out, self.config.patch, grid, (height, width))?;
        out.to_dtype(wide)
    }

    fn run(&self, block: &DitBlock, tokens: &Tensor, modulation: &Modulation) -> Result<Tensor> {
        if !self.compute.recompute {
            return block.forward(tokens, modulation);
        }
        let block = block.clone();
        recompute([tokens, modulation.rows()], move |[tokens, rows]| {
            block.forward(tokens, &Modulation::per_frame(rows))
        })
    }
}

impl Velocity for DitWorld {
    type Context = Conditions;

    fn velocity(&self, x: &Tensor, t: &Tensor, given: &Given, context: &Conditions) -> Result<Tensor> {
        self.forward(x, t, Some(given), context)
    }
}

/// The last modulated norm and projection; actions do not reach it.
#[derive(Clone, Debug)]
struct FinalLayer {
    table: Tensor,
    linear: Linear,
}

impl FinalLayer {
    fn new(config: &DitConfig, vb: VarBuilder) -> Result<Self> {
        let hidden = config.hidden_size;
        let init = Init::Randn { mean: 0.0, stdev: (hidden as f64).powf(-0.5) };
        let outputs = config.patch * config.patch * config.out_channels();
        Ok(Self {
            table: vb.get_with_hints((2, hidden), "scale_shift_table", init)?,
            linear: Linear::new(hidden, outputs, vb.pp("linear"))?,
        })
    }

    /// `moving` `(B, D)` and `still` `(1 or B, D)` are the embeddings of time `t` and of time 0.
    fn forward(
        &self,
        x: &Tensor,
        moving: &Tensor,
        still: Option<&Tensor>,
        given: Option<&Given>,
    ) -> Result<Tensor> {
        let modulated = |x: &Tensor, time: &Tensor| {
            let table = self.table.to_dtype(time.dtype())?;
            let row = |i: usize| time.broadcast_add(&table.narrow(0, i, 1)?)?.unsqueeze(1)?.unsqueeze(1);
            modulate(x, &row(0)?, &row(1)?, EPS)
        };
        let mut y = modulated(x, moving)?;
        if let (Some(still), Some(given)) = (still, given) {
            // As in the reference: a given frame is computed from the already modulated one, so it is normed twice.
            let mask = given.generated().to_dtype(DType::U8)?.unsqueeze(2)?.unsqueeze(3)?;
            y = mask.broadcast_as(y.shape())?.where_cond(&y, &modulated(&y, still)?)?;
        }
        self.linear.forward(&y)
    }
}
