//! The optimizer's step, clipping included, in bytes of variables, gradients and moments that have to be moved: the
//! gradient is read twice, variable and moments are read and written once. First it has to agree with the formula,
//! written in candle's operations.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_benches::cases::constant;
use cola_benches::{Amount, Ready, Suite};
use cola_nn::{AdamStep, AdamUpdate, adamw, global_norm};

/// f32 numbers moved for each parameter.
const MOVED: usize = 8;
const STEP: AdamStep =
    AdamStep { rate: 1e-2, decay: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, count: 1, scale: 1.0 };

struct State {
    var: Var,
    grad: Tensor,
    first: Var,
    second: Var,
}

impl State {
    fn new(size: usize, device: &Device) -> Result<Self> {
        let number = |name| constant(size, name)?.to_device(device);
        let zeros = || Var::zeros(size, DType::F32, device);
        Ok(Self {
            var: Var::from_tensor(&number("variable")?)?,
            grad: number("gradient")?,
            first: zeros()?,
            second: zeros()?,
        })
    }
}

fn step(states: &[State], count: u64) -> Result<()> {
    let norm = global_norm(states.iter().map(|state| &state.grad))?;
    let step = AdamStep { scale: (1.0 / (norm + 1e-6)).min(1.0), count, ..STEP };
    let updates: Vec<AdamUpdate<'_>> = states
        .iter()
        .map(|State { var, grad, first, second }| AdamUpdate {
            var,
            grad,
            first,
            second,
            average: None,
            step,
        })
        .collect();
    adamw(&updates)
}

/// The first step from moments of zero: the corrected moments are the clipped gradient and its square.
fn check(device: &Device) -> Result<()> {
    let states = [State::new(1000, device)?];
    let [State { var, grad, .. }] = &states;
    let wide = |x: &Tensor| x.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let (before, grad) = (wide(var)?, wide(grad)?);
    let grad = (&grad / (grad.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt() + 1e-6))?;
    let direction = (&grad / (grad.abs()? + STEP.eps)?)?;
    let expected = ((before * (1.0 - STEP.rate * STEP.decay))? - (direction * STEP.rate)?)?;
    step(&states, 1)?;
    let difference = (wide(var)? - expected)?.abs()?.max(0)?.to_scalar::<f64>()?;
    assert!(difference <= 1e-6, "adamw: a variable differs from the formula by {difference}");
    Ok(())
}

fn main() -> Result<()> {
    let mut suite = Suite::new("adamw")?;
    for place in suite.places() {
        // 50 M parameters in 100 tensors; 1 M in 150, as in the `tiny` preset.
        for (name, count, size) in [("large", 100, 500_000), ("many_small", 150, 7_000)] {
            let parameters = count * size;
            let amount = Amount { units: parameters as f64, unit: "parameters", flops: 0.0 };
            suite.time(&place, name, "step", amount, || {
                check(&place.device)?;
                let states: Vec<State> =
                    (0..count).map(|_| State::new(size, &place.device)).collect::<Result<_>>()?;
                let mut done = 0;
                Ok(Ready::new(4 * MOVED * parameters, move || {
                    done += 1;
                    step(&states, done)
                }))
            });
        }
    }
    suite.finish();
    Ok(())
}
