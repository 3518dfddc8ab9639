//! AdamW in place against its formula in f64, on any number of threads.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{AdamStep, AdamUpdate, Average, adamw, global_norm};
use cola_random::{normals, stream};

const DEVICE: Device = Device::Cpu;
/// One number, an odd count, more than one block, enough for threads.
const SHAPES: [&[usize]; 4] = [&[1], &[3, 7], &[17, 1001], &[300, 501]];

fn numbers(name: &str, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(normals(shape.iter().product(), &mut stream(3, name, 0, 0)), shape, &DEVICE)
}

fn doubles(x: &Tensor) -> Result<Vec<f64>> {
    x.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

fn step(count: u64) -> AdamStep {
    AdamStep { rate: 1e-2, decay: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, count, scale: 0.5 }
}

const KEPT: f64 = 0.9;

/// A variable with its moments and running average.
struct State {
    var: Var,
    first: Var,
    second: Var,
    average: Var,
}

impl State {
    fn new(shape: &[usize], dtype: DType) -> Result<Self> {
        let values = numbers("var", shape)?.to_dtype(dtype)?;
        let zeros = || Var::zeros(shape, dtype, &DEVICE);
        let [var, average] = [Var::from_tensor(&values)?, Var::from_tensor(&values)?];
        Ok(Self { var, first: zeros()?, second: zeros()?, average })
    }

    fn update<'a>(&'a self, grad: &'a Tensor, averaged: bool, count: u64) -> AdamUpdate<'a> {
        AdamUpdate {
            var: &self.var,
            grad,
            first: &self.first,
            second: &self.second,
            average: averaged.then_some(Average { values: &self.average, decay: KEPT }),
            step: step(count),
        }
    }

    fn all(&self) -> Result<Vec<f64>> {
        let parts = [&self.var, &self.first, &self.second, &self.average].map(|part| doubles(part));
        Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }
}

/// Variable and average after these gradients, number by number.
fn formula(start: &[f64], grads: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let one = |index: usize| {
        let (mut w, mut average, mut m, mut v) = (start[index], start[index], 0.0, 0.0);
        for (past, grad) in grads.iter().enumerate() {
            let s = step(past as u64 + 1);
            let g = s.scale * grad[index];
            m = s.beta1 * m + (1.0 - s.beta1) * g;
            v = s.beta2 * v + (1.0 - s.beta2) * g * g;
            let (m_hat, v_hat) =
                (m / (1.0 - s.beta1.powf(s.count as f64)), v / (1.0 - s.beta2.powf(s.count as f64)));
            w -= s.rate * (s.decay * w + m_hat / (v_hat.sqrt() + s.eps));
            average = KEPT * average + (1.0 - KEPT) * w;
        }
        (w, average)
    };
    (0..start.len()).map(one).unzip()
}

#[test]
fn a_step_agrees_with_its_formula() -> Result<()> {
    let kinds =
        [(DType::F32, DType::F32, 2e-6), (DType::F32, DType::BF16, 2e-6), (DType::F64, DType::F64, 1e-12)];
    for (shape, (dtype, grad_dtype, tolerance)) in SHAPES.iter().flat_map(|s| kinds.map(|k| (s, k))) {
        let grads: Vec<Tensor> = (0..3)
            .map(|i| numbers(&format!("grad {i}"), shape)?.to_dtype(grad_dtype))
            .collect::<Result<_>>()?;
        let values: Vec<Vec<f64>> = grads.iter().map(doubles).collect::<Result<_>>()?;
        for averaged in [false, true] {
            let state = State::new(shape, dtype)?;
            let start = doubles(&state.var)?;
            for (past, grad) in grads.iter().enumerate() {
                adamw(&[state.update(grad, averaged, past as u64 + 1)])?;
            }
            let (var, average) = formula(&start, &values);
            let average = if averaged { average } else { start };
            for (found, expected) in [(&state.var, var), (&state.average, average)] {
                for (found, expected) in doubles(found)?.iter().zip(&expected) {
                    let off = (found - expected).abs();
                    assert!(off <= tolerance, "{shape:?} {grad_dtype:?}: {found}, expected {expected}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn many_variables_give_the_same_bits_on_any_number_of_threads() -> Result<()> {
    let grads: Vec<Tensor> = SHAPES.iter().map(|shape| numbers("grad", shape)).collect::<Result<_>>()?;
    let on = |threads: usize| -> Result<(f64, Vec<f64>)> {
        let states: Vec<State> =
            SHAPES.iter().map(|shape| State::new(shape, DType::F32)).collect::<Result<_>>()?;
        let updates: Vec<AdamUpdate<'_>> =
            states.iter().zip(&grads).map(|(state, grad)| state.update(grad, true, 1)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        let norm = pool.install(|| adamw(&updates).and_then(|()| global_norm(&grads)))?;
        Ok((norm, states.iter().map(State::all).collect::<Result<Vec<_>>>()?.concat()))
    };
    let one = on(1)?;
    for threads in [2, 5] {
        assert!(on(threads)? == one, "other bits on {threads} threads");
    }
    Ok(())
}

#[test]
fn the_norm_is_that_of_all_numbers() -> Result<()> {
    let tensors = [
        numbers("a", &[300, 501])?,
        numbers("b", &[7])?.to_dtype(DType::F64)?,
        numbers("c", &[2, 40_000])?.to_dtype(DType::BF16)?,
        numbers("d", &[5, 3])?.to_dtype(DType::F16)?,
        numbers("e", &[20, 30])?.t()?,
    ];
    let mut square = 0.0;
    for tensor in &tensors {
        square += doubles(tensor)?.iter().map(|x| x * x).sum::<f64>();
    }
    assert!((global_norm(&tensors)? / square.sqrt() - 1.0).abs() < 1e-6);
    assert!((global_norm(&tensors[..3])?.powi(2) / (square.sqrt().powi(2)) - 1.0).abs() < 0.01);
    assert_eq!(global_norm([])?, 0.0);
    Ok(())
}

#[test]
fn the_norm_of_huge_numbers_is_finite_and_of_a_nan_it_is_none() -> Result<()> {
    let huge = Tensor::full(3e30f32, 100, &DEVICE)?;
    assert!((global_norm([&huge])? / 3e31 - 1.0).abs() < 1e-6);
    for odd in [f32::NAN, f32::INFINITY] {
        assert!(!global_norm([&huge, &Tensor::new(&[1.0, odd], &DEVICE)?])?.is_finite());
    }
    Ok(())
}

#[test]
fn a_strided_gradient_is_read_in_the_variables_order() -> Result<()> {
    let turned = numbers("grad", &[7, 3])?.t()?;
    let (strided, plain) = (State::new(&[3, 7], DType::F32)?, State::new(&[3, 7], DType::F32)?);
    adamw(&[strided.update(&turned, true, 1)])?;
    adamw(&[plain.update(&turned.contiguous()?, true, 1)])?;
    assert_eq!(strided.all()?, plain.all()?);
    Ok(())
}

#[test]
fn wrong_tensors_are_refused_and_nothing_changes() -> Result<()> {
    let state = State::new(&[3, 7], DType::F32)?;
    let before = state.all()?;
    let text = |update: AdamUpdate<'_>| adamw(&[update]).expect_err("a wrong update").to_string();
    let grad = numbers("grad", &[7, 3])?;
    let refusal = text(state.update(&grad, true, 1));
    assert!(refusal.contains("[3, 7]") && refusal.contains("[7, 3]"), "{refusal}");
    let grad = numbers("grad", &[3, 7])?;
    let refusal = text(AdamUpdate { second: &state.first, ..state.update(&grad, true, 1) });
    assert!(refusal.contains("two places"), "{refusal}");
    let whole = grad.to_dtype(DType::F64)?;
    let refusal = text(state.update(&whole, true, 1));
    assert!(refusal.contains("F32") && refusal.contains("F64"), "{refusal}");
    let own = state.var.as_detached_tensor();
    text(state.update(&own, true, 1));
    assert_eq!(state.all()?, before);
    Ok(())
}
