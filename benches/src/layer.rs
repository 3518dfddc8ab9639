//! A layer to be timed: how it is built, what it costs at least, and that its result is right.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor};

use crate::cases::constant;
use crate::scene::{Scene, bytes};
use crate::suite::{Amount, Ready};

/// Least scale of a difference. Some gradients are zero but for rounding, such as that of what is added to all keys.
const FLOOR: f64 = 0.1;

/// A forward pass over operands that are already there.
pub type Forward = Box<dyn Fn() -> Result<Tensor>>;

type Build = Box<dyn Fn(&Scene, usize) -> Result<Forward>>;

/// One layer at one size.
pub struct Layer {
    pub(crate) name: String,
    dtype: DType,
    count: usize,
    checked: usize,
    unit: &'static str,
    units: usize,
    flops: usize,
    backward: Option<f64>,
    tolerance: f64,
    build: Build,
}

impl Layer {
    /// `build` makes it for a number of rows, frames or sequences: `count` of them are timed, each being `units` of what
    /// the reader counts, and the first few checked.
    pub fn new(
        name: &str,
        count: usize,
        (units, unit): (usize, &'static str),
        build: impl Fn(&Scene, usize) -> Result<Forward> + 'static,
    ) -> Self {
        Self {
            name: name.to_string(),
            dtype: DType::F32,
            count,
            checked: count.min(64),
            unit,
            units,
            flops: 0,
            backward: Some(2.0),
            tolerance: 2e-5,
            build: Box::new(build),
        }
    }

    /// Operations of a forward pass in matrix products and the like, for each of the `count`; without them, memory is
    /// the only limit.
    pub fn flops(self, flops: usize) -> Self {
        Self { flops, ..self }
    }

    /// How many of the `count` are checked, 64 unless told: the plain form is slow.
    pub fn checked(self, checked: usize) -> Self {
        Self { checked, ..self }
    }

    /// Weights without gradient: the backward pass has one product for each of the forward pass, not two.
    pub fn frozen(self) -> Self {
        Self { backward: Some(1.0), ..self }
    }

    /// Only the forward pass is timed and checked.
    pub fn forward_only(self) -> Self {
        Self { backward: None, ..self }
    }

    /// With bf16 tokens.
    pub fn bf16(self) -> Self {
        Self { name: format!("{}_bf16", self.name), dtype: DType::BF16, tolerance: 5e-2, ..self }
    }

    /// The largest difference to the plain form as a part of the largest number; 2e-5 unless told.
    pub fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// What is timed, `true` for those that go back, too.
    pub(crate) fn functions(&self) -> Vec<(&'static str, bool)> {
        let mut functions = vec![("forward", false)];
        functions.extend(self.backward.map(|_| ("forward_backward", true)));
        functions
    }

    /// What one call of a function does at least.
    pub(crate) fn amount(&self, back: bool) -> Amount {
        let passes = 1.0 + self.backward.filter(|_| back).unwrap_or(0.0);
        Amount {
            units: (self.count * self.units) as f64,
            unit: self.unit,
            flops: passes * (self.count * self.flops) as f64,
        }
    }

    /// Builds one of its functions after a check. Bytes: each operand and the result once; on the way back each operand,
    /// the result's gradient and the gradients.
    pub(crate) fn ready(&self, device: &Device, back: bool) -> Result<Ready> {
        self.check(device, back)?;
        let scene = Scene::new(device, self.dtype);
        let forward = (self.build)(&scene, self.count)?;
        let y = forward()?;
        let mut moved = scene.bytes() + bytes(&y);
        if !back {
            return Ok(Ready::new(moved, move || {
                black_box(forward()?);
                Ok(())
            }));
        }
        let grads = y.backward()?;
        moved *= 2;
        moved += scene.variables().iter().filter_map(|(_, var)| grads.get(var)).map(bytes).sum::<usize>();
        Ok(Ready::new(moved, move || {
            black_box(forward()?.backward()?);
            Ok(())
        }))
    }

    fn check(&self, device: &Device, back: bool) -> Result<()> {
        let found = self.results(&Scene::new(device, self.dtype), back)?;
        let plain = self.results(&Scene::new(&Device::Cpu, DType::F64), back)?;
        let largest = |x: &Tensor| x.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
        for ((name, found), (_, plain)) in found.iter().zip(&plain) {
            let (Some(found), Some(plain)) = (found, plain) else {
                assert_eq!(found.is_some(), plain.is_some(), "{}: {name} in only one form", self.name);
                continue;
            };
            let (difference, scale) = (largest(&(found - plain)?)?, largest(plain)?.max(FLOOR));
            assert!(
                difference <= self.tolerance * scale,
                "{}: {name} differs from the plain form by {difference} at a scale of {scale}",
                self.name
            );
        }
        Ok(())
    }

    /// The result and every variable's gradient, by name, in f64 on the host.
    fn results(&self, scene: &Scene, back: bool) -> Result<Vec<(String, Option<Tensor>)>> {
        let host = |x: &Tensor| x.to_device(&Device::Cpu)?.to_dtype(DType::F64);
        let y = (self.build)(scene, self.checked.min(self.count))?()?;
        let mut results = vec![("the result".to_string(), Some(host(&y)?))];
        if back {
            // Ones would be a poor gradient: what comes out of a norm sums to zero.
            let grad = constant(y.shape(), "gradient")?.to_dtype(y.dtype())?.to_device(y.device())?;
            let grads = (y * grad)?.sum_all()?.backward()?;
            for (name, var) in scene.variables() {
                results.push((format!("the gradient of {name}"), grads.get(&var).map(host).transpose()?));
            }
        }
        Ok(results)
    }
}
