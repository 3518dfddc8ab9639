//! Layers of the training step at the sizes of the `tiny` preset, forward and backward, in tokens per second.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{HeadNorm, Linear, Mlp, Params, Rope, SelfAttention, SelfAttentionConfig, modulate, normal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const WIDTH: usize = 96;
/// 32 clips of 2 frames of 64 tokens.
const TOKENS: usize = 32 * 2 * 64;

fn input(shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&normal(shape, &Device::Cpu, &mut cola_random::stream(0, "bench", 0, 0))?)
}

fn time(c: &mut Criterion, name: &str, forward: &dyn Fn() -> Result<Tensor>) {
    let mut group = c.benchmark_group(name);
    group.sample_size(20).throughput(Throughput::Elements(TOKENS as u64));
    group.bench_function("forward", |b| b.iter(|| black_box(forward().expect("the layer runs"))));
    group.bench_function("forward_backward", |b| {
        b.iter(|| {
            let loss = forward().and_then(|y| y.sqr()?.sum_all()).expect("the layer runs");
            black_box(loss.backward().expect("the layer is differentiable"))
        });
    });
    group.finish();
}

fn layers(c: &mut Criterion) -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let x = input(&[TOKENS, WIDTH])?;
    for (kind, trains) in [("trained", true), ("frozen", false)] {
        let linear = Linear::new(WIDTH, 3 * WIDTH, params.builder(trains).pp("linear"))?;
        time(c, &format!("linear/{kind}/cpu"), &|| linear.forward(&x));
    }
    let mlp = Mlp::new(WIDTH, 4 * WIDTH, params.trainable().pp("mlp"))?;
    time(c, "mlp/trained/cpu", &|| mlp.forward(&x));
    let frames = input(&[32, 2, 64, WIDTH])?;
    let (shift, scale) = (input(&[32, 2, 1, WIDTH])?, input(&[32, 2, 1, WIDTH])?);
    time(c, "modulate/per_frame/cpu", &|| modulate(&frames, &shift, &scale, 1e-6));
    for (kind, shape, causal) in [("space", [64, 64, WIDTH], false), ("time_causal", [2048, 2, WIDTH], true)]
    {
        let rope = causal.then(|| Rope::new(WIDTH / 4, 10_000.0)).transpose()?;
        let config = SelfAttentionConfig { dim: WIDTH, heads: 4, causal, silent: false };
        let attention = SelfAttention::new(&config, HeadNorm::rms, rope, params.trainable().pp("attention"))?;
        let x = input(&shape)?;
        time(c, &format!("attention/{kind}/cpu"), &|| attention.forward(&x));
    }
    Ok(())
}

fn all(c: &mut Criterion) {
    layers(c).expect("the layers build");
}

criterion_group!(benches, all);
criterion_main!(benches);
