//! AdamW with named moments, a step count for each variable, and global-norm clipping.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::train::replace_rows;

/// AdamW's constants; the paper names none but the rate, so these are the usual ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, for matrices of linear layers only.
    pub decay: f64,
    /// Largest global norm of all gradients of a step; 0 switches clipping off.
    pub clip: f64,
    /// Linear warm-up: the rate is multiplied by `(s + 1) / (warmup + 1)` while a variable's own step count `s` is below.
    pub warmup: u64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, clip: 1.0, warmup: 2000 }
    }
}

/// One variable for one step.
pub struct Update<'a> {
    /// Unique over all parameter sets, e.g. `backbone.x_embedder.proj.weight`.
    pub name: &'a str,
    /// The variable.
    pub var: &'a Var,
    /// Its learning rate before warm-up.
    pub rate: f64,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// First and second moment of a variable and how often it was updated.
#[derive(Clone)]
pub(crate) struct Moments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) steps: u64,
}

/// AdamW. A variable's moments start at its first gradient, so a backbone that joins late takes the right first step and
/// the others keep their moments.
pub struct AdamW {
    config: OptimizerConfig,
    pub(crate) moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Without moments.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { config: config.clone(), moments: BTreeMap::new() }
    }

    /// How often a variable was updated.
    pub fn steps(&self, name: &str) -> u64 {
        self.moments.get(name).map_or(0, |moments| moments.steps)
    }

    /// Forgets the moments of some rows of a variable, e.g. of codebook rows that were replaced.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn clear_rows(&mut self, name: &str, rows: &[usize]) -> Result<()> {
        if let Some(moments) = self.moments.get_mut(name) {
            let zeros = moments.first.narrow(0, 0, 1)?.zeros_like()?.repeat((rows.len(), 1))?;
            moments.first = replace_rows(&moments.first, rows, &zeros)?;
            moments.second = replace_rows(&moments.second, rows, &zeros)?;
        }
        Ok(())
    }

    /// Updates every variable that has a gradient; returns the global norm before clipping. Variables without a gradient
    /// are left alone, decay included. Drop the loss and its graph first: variables change in place.
    ///
    /// # Errors
    /// Tensor arithmetic. A norm that is not finite is returned, and nothing is updated.
    pub fn step(&mut self, updates: &[Update<'_>], grads: &GradStore) -> Result<f64> {
        let mut with_gradient = Vec::with_capacity(updates.len());
        let mut square = 0f64;
        for update in updates {
            if let Some(grad) = grads.get(update.var.as_tensor()) {
                let grad = grad.detach().contiguous()?;
                square += grad.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
                with_gradient.push((update, grad));
            }
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let clip = self.config.clip;
        let factor = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        for (update, grad) in with_gradient {
            self.update(update, &grad, factor)?;
        }
        Ok(norm)
    }

    fn update(&mut self, update: &Update<'_>, grad: &Tensor, factor: f64) -> Result<()> {
        let config = &self.config;
        if !self.moments.contains_key(update.name) {
            let zero = || update.var.as_detached_tensor().zeros_like();
            let moments = Moments { first: zero()?, second: zero()?, steps: 0 };
            self.moments.insert(update.name.to_string(), moments);
        }
        let Some(moments) = self.moments.get_mut(update.name) else { return Ok(()) };
        let warmth = ((moments.steps + 1) as f64 / (config.warmup + 1) as f64).min(1.0);
        let rate = update.rate * warmth;
        moments.steps += 1;
        let count = moments.steps as i32;
        let apply = Apply {
            rate,
            keep: 1.0 - if update.decays { rate * config.decay } else { 0.0 },
            first: 1.0 / (1.0 - config.beta1.powi(count)),
            second: 1.0 / (1.0 - config.beta2.powi(count)),
            eps: config.eps,
        };
        let (first, second) = (
            Average { keep: config.beta1, scale: factor, square: false },
            Average { keep: config.beta2, scale: factor, square: true },
        );
        if update.var.device().is_cpu() {
            moments.first.inplace_op2(grad, &first)?;
            moments.second.inplace_op2(grad, &second)?;
            return update.var.inplace_op3(&moments.first, &moments.second, &apply);
        }
        let grad = (grad * factor)?;
        moments.first = ((&moments.first * config.beta1)? + (&grad * (1.0 - config.beta1))?)?;
        moments.second = ((&moments.second * config.beta2)? + (grad.sqr()? * (1.0 - config.beta2))?)?;
        let root = ((&moments.second * apply.second)?.sqrt()? + apply.eps)?;
        let step = ((&moments.first * (apply.first * rate))? / root)?;
        update.var.set(&((update.var.as_detached_tensor() * apply.keep)? - step)?)
    }
}

/// `a <- keep a + (1 - keep) g` or `g²`, in place.
struct Average {
    keep: f64,
    scale: f64,
    square: bool,
}

/// `w <- keep w - rate (first m) / (sqrt(second v) + eps)`, in place.
struct Apply {
    rate: f64,
    keep: f64,
    first: f64,
    second: f64,
    eps: f64,
}

/// The numbers of a contiguous storage; anything else is a mistake of the caller.
macro_rules! contiguous {
    ($values:expr, $layout:expr) => {
        match $layout.contiguous_offsets() {
            Some((start, end)) => &$values[start..end],
            None => candle_core::bail!("the optimizer needs contiguous tensors"),
        }
    };
}

macro_rules! average {
    ($self:expr, $a:expr, $g:expr, $float:ty) => {{
        let (keep, rest) = ($self.keep as $float, (1.0 - $self.keep) as $float);
        let scale = $self.scale as $float;
        for (a, g) in $a.iter_mut().zip($g) {
            let g = g * scale;
            *a = keep * *a + rest * if $self.square { g * g } else { g };
        }
    }};
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "adamw-average"
    }

    fn cpu_fwd(&self, a: &mut CpuStorage, la: &Layout, g: &CpuStorage, lg: &Layout) -> Result<()> {
        if !(la.is_contiguous() && la.start_offset() == 0) {
            candle_core::bail!("the optimizer needs contiguous tensors");
        }
        match (a, g) {
            (CpuStorage::F32(a), CpuStorage::F32(g)) => average!(self, a, contiguous!(g, lg), f32),
            (CpuStorage::F64(a), CpuStorage::F64(g)) => average!(self, a, contiguous!(g, lg), f64),
            _ => candle_core::bail!(
                "the optimizer needs f32 or f64 variables, with gradients of the same type"
            ),
        }
        Ok(())
    }
}

macro_rules! apply {
    ($self:expr, $w:expr, $m:expr, $v:expr, $float:ty) => {{
        let (keep, step) = ($self.keep as $float, ($self.rate * $self.first) as $float);
        let (second, eps) = ($self.second as $float, $self.eps as $float);
        for ((w, m), v) in $w.iter_mut().zip($m).zip($v) {
            *w = keep * *w - step * m / ((second * v).sqrt() + eps);
        }
    }};
}

impl InplaceOp3 for Apply {
    fn name(&self) -> &'static str {
        "adamw-apply"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        lw: &Layout,
        m: &CpuStorage,
        lm: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<()> {
        if !(lw.is_contiguous() && lw.start_offset() == 0) {
            candle_core::bail!("the optimizer needs contiguous tensors");
        }
        match (w, m, v) {
            (CpuStorage::F32(w), CpuStorage::F32(m), CpuStorage::F32(v)) => {
                apply!(self, w, contiguous!(m, lm), contiguous!(v, lv), f32);
            }
            (CpuStorage::F64(w), CpuStorage::F64(m), CpuStorage::F64(v)) => {
                apply!(self, w, contiguous!(m, lm), contiguous!(v, lv), f64);
            }
            _ => candle_core::bail!("the optimizer needs f32 or f64 variables"),
        }
        Ok(())
    }
}
