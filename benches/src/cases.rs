//! The cases by name. Each has a twin of the same name and sizes in `reference/cases.py`.

mod blocks;
mod metrics;
mod operations;
mod optimizer;
mod steps;
mod video;

pub use blocks::dit_block;

use std::collections::HashMap;

use candle_core::{Device, Result, Shape, Tensor, Var};
use cola_nn::normal;
use cola_random::stream;

/// What is timed, over data that is already there.
pub struct Case {
    /// How many numbers the models hold; 0 for single operations.
    pub parameters: usize,
    /// One iteration.
    pub run: Box<dyn FnMut() -> Result<()>>,
    /// Where PyTorch's results can be checked: parameters by name, inputs as `in.0`, `in.1`, .. and the result as `out`.
    pub example: Option<Example>,
}

/// Named tensors of a [`Case`], made when asked for.
pub type Example = Box<dyn Fn() -> Result<HashMap<String, Tensor>>>;

impl Case {
    fn new(parameters: usize, run: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { parameters, run: Box::new(run), example: None }
    }
}

/// Builds one case.
pub type Build = fn() -> Result<Case>;

/// Every case in the order of the table.
pub const CASES: [(&str, Build); 34] = [
    ("xl_block_space_forward", blocks::space_forward),
    ("xl_block_space", blocks::space),
    ("xl_block_time_forward", blocks::time_forward),
    ("xl_block_time", blocks::time),
    ("small_step", steps::small),
    ("small_step_recomputed", steps::small_recomputed),
    ("tiny_lam_step", steps::tiny_lam),
    ("tiny_warm_step", steps::tiny_warm),
    ("tiny_joint_step", steps::tiny_joint),
    ("idm_paper_encode", blocks::idm_paper),
    ("adamw_50m", optimizer::adamw_50m),
    ("vae_temporal_encode", video::temporal_encode),
    ("vae_image_encode", video::image_encode),
    ("vae_image_decode", video::image_decode),
    ("psnr_u8", metrics::psnr_u8),
    ("psnr_f32", metrics::psnr_f32),
    ("ssim_256", metrics::ssim_256),
    ("ssim_64", metrics::ssim_64),
    ("lpips_alex", metrics::lpips_alex),
    ("lpips_vgg", metrics::lpips_vgg),
    ("lpips_squeeze", metrics::lpips_squeeze),
    ("i3d_clip16", metrics::i3d_clip16),
    ("gelu", operations::gelu),
    ("layernorm_modulate", operations::layernorm_modulate),
    ("gate_add", operations::gate_add),
    ("attention_space", operations::attention_space),
    ("attention_time", operations::attention_time),
    ("attention_long", operations::attention_long),
    ("attention_lam", operations::attention_lam),
    ("linear", operations::linear),
    ("linear_frozen", operations::linear_frozen),
    ("bias_sum", operations::bias_sum),
    ("matmul", operations::matmul),
    ("copy", operations::copy),
];

/// Standard normal numbers; each `purpose` has its own.
pub fn constant(shape: impl Into<Shape>, purpose: &str) -> Result<Tensor> {
    normal(shape, &Device::Cpu, &mut stream(0, purpose, 0, 0))
}

/// The same as a variable: a gradient reaches it.
fn variable(shape: impl Into<Shape>, purpose: &str) -> Result<Var> {
    Var::from_tensor(&constant(shape, purpose)?)
}
