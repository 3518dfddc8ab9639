//! The optimizer's step, clipping included, in bytes of variables, gradients and moments that have to be moved: the
//! gradient is read twice, variable and moments are read and written once. `copy` is what the machine's memory gives.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{AdamStep, AdamUpdate, adamw, global_norm};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;

/// f32 numbers moved for each parameter.
const MOVED: usize = 8;

struct State {
    var: Var,
    grad: Tensor,
    first: Var,
    second: Var,
}

impl State {
    fn new(size: usize) -> Result<Self> {
        let numbers = cola_random::normals(size, &mut cola_random::stream(0, "bench", 0, 0));
        let grad = Tensor::from_vec(numbers, size, &Device::Cpu)?;
        let zeros = || Var::zeros(size, DType::F32, &Device::Cpu);
        Ok(Self { var: Var::from_tensor(&grad)?, first: zeros()?, second: zeros()?, grad })
    }
}

fn step(states: &[State], count: u64) -> Result<f64> {
    let norm = global_norm(states.iter().map(|state| &state.grad))?;
    let scale = (1.0 / (norm + 1e-6)).min(1.0);
    let step = AdamStep { rate: 1e-4, decay: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, count, scale };
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
    adamw(&updates)?;
    Ok(norm)
}

fn optimizer(c: &mut Criterion) -> Result<()> {
    // 50 M parameters in 100 tensors; 1 M in 150, as in the `tiny` preset.
    for (name, count, size) in [("large", 100, 500_000), ("many_small", 150, 7_000)] {
        let states: Vec<State> = (0..count).map(|_| State::new(size)).collect::<Result<_>>()?;
        let mut group = c.benchmark_group(format!("adamw/{name}/cpu"));
        group.sample_size(20).throughput(Throughput::Bytes((count * size * MOVED * 4) as u64));
        let mut done = 0;
        group.bench_function("step", |b| {
            b.iter(|| {
                done += 1;
                black_box(step(&states, done).expect("the step runs"))
            });
        });
        group.finish();
    }
    let from = vec![1f32; 1 << 26];
    let mut to = vec![0f32; from.len()];
    let mut group = c.benchmark_group("copy/cpu");
    group.sample_size(20).throughput(Throughput::Bytes((2 * 4 * from.len()) as u64));
    group.bench_function("all_threads", |b| {
        b.iter(|| {
            let parts = to.par_chunks_mut(1 << 20).zip(from.par_chunks(1 << 20));
            parts.for_each(|(to, from)| to.copy_from_slice(from));
            black_box(&mut to);
        });
    });
    group.finish();
    Ok(())
}

fn all(c: &mut Criterion) {
    optimizer(c).expect("the states fit into memory");
}

criterion_group!(benches, all);
criterion_main!(benches);
