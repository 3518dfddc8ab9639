//! Causal 3-D convolution at sizes of the video VAE, in positions of the result per second. Before its time is taken,
//! the fused form in f32 has to agree with the composed one in f64.

use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::{CausalConv3d, normal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

struct Case {
    name: &'static str,
    channels: [usize; 2],
    kernel: usize,
    time_stride: usize,
    /// Frames, height, width.
    size: [usize; 3],
}

const CASES: [Case; 6] = [
    Case { name: "128_5x32x32", channels: [128, 128], kernel: 3, time_stride: 1, size: [5, 32, 32] },
    Case { name: "512_5x16x16", channels: [512, 512], kernel: 3, time_stride: 1, size: [5, 16, 16] },
    Case { name: "128_8x8x8", channels: [128, 128], kernel: 3, time_stride: 1, size: [8, 8, 8] },
    Case { name: "halve_256_10x32x32", channels: [256, 256], kernel: 3, time_stride: 2, size: [10, 32, 32] },
    Case { name: "into_128_20x32x32", channels: [4, 128], kernel: 3, time_stride: 1, size: [20, 32, 32] },
    Case {
        name: "shortcut_128_256_5x32x32",
        channels: [128, 256],
        kernel: 1,
        time_stride: 1,
        size: [5, 32, 32],
    },
];

impl Case {
    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        normal(shape, &Device::Cpu, &mut cola_random::stream(0, name, 0, 0))
    }

    fn input(&self) -> Result<Tensor> {
        let [frames, height, width] = self.size;
        self.numbers("x", &[1, self.channels[0], frames, height, width])
    }

    fn layer(&self, dtype: DType, trains: bool) -> Result<CausalConv3d> {
        let ([from, to], k) = (self.channels, self.kernel);
        let variable = |name: &str, shape: &[usize]| {
            let var = Var::from_tensor(&self.numbers(name, shape)?.to_dtype(dtype)?)?;
            let tensor = if trains { var.as_tensor().clone() } else { var.as_detached_tensor() };
            Result::Ok((name.to_string(), tensor))
        };
        let tensors = [variable("weight", &[to, from, k, k, k])?, variable("bias", &[to])?];
        let vb = VarBuilder::from_tensors(tensors.into(), dtype, &Device::Cpu);
        CausalConv3d::new(from, to, [k; 3], vb)?.with_time_stride(self.time_stride)
    }

    fn check(&self) -> Result<()> {
        let x = self.input()?;
        let fused = self.layer(DType::F32, false)?.forward(&x)?.to_dtype(DType::F64)?;
        let composed = self.layer(DType::F64, false)?.forward(&x.to_dtype(DType::F64)?)?;
        let largest = |x: Tensor| x.abs()?.max_all()?.to_scalar::<f64>();
        let (difference, scale) = (largest((fused - &composed)?)?, largest(composed)?);
        assert!(difference <= 1e-5 * scale, "{}: difference {difference}, largest {scale}", self.name);
        Ok(())
    }

    fn time(&self, c: &mut Criterion) -> Result<()> {
        self.check()?;
        let mut group = c.benchmark_group(format!("conv3d/{}/cpu", self.name));
        let [frames, height, width] = self.size;
        group
            .sample_size(10)
            .throughput(Throughput::Elements((frames / self.time_stride * height * width) as u64));
        let x = Var::from_tensor(&self.input()?)?;
        let frozen = self.layer(DType::F32, false)?;
        group.bench_function("forward", |b| {
            b.iter(|| black_box(frozen.forward(&x.as_detached_tensor()).expect("the layer runs")));
        });
        for (name, trains) in [("forward_backward", true), ("forward_backward_frozen", false)] {
            let layer = self.layer(DType::F32, trains)?;
            group.bench_function(name, |b| {
                b.iter(|| {
                    let loss = layer.forward(&x).and_then(|y| y.sum_all()).expect("the layer runs");
                    black_box(loss.backward().expect("the layer is differentiable"))
                });
            });
        }
        group.finish();
        Ok(())
    }
}

fn all(c: &mut Criterion) {
    for case in CASES {
        case.time(c).expect("the layer builds");
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
