//! Causal 3-D convolution at sizes of the video VAE, in positions of the result per second.

use candle_core::{Result, Tensor};
use cola_benches::{Layer, Suite};
use cola_nn::CausalConv3d;

/// One convolution.
struct Size {
    name: &'static str,
    channels: [usize; 2],
    kernel: usize,
    time_stride: usize,
    /// Frames, height, width.
    size: [usize; 3],
}

const SIZES: [Size; 6] = [
    Size { name: "128_5x32x32", channels: [128, 128], kernel: 3, time_stride: 1, size: [5, 32, 32] },
    Size { name: "512_5x16x16", channels: [512, 512], kernel: 3, time_stride: 1, size: [5, 16, 16] },
    Size { name: "128_8x8x8", channels: [128, 128], kernel: 3, time_stride: 1, size: [8, 8, 8] },
    Size { name: "halve_256_10x32x32", channels: [256, 256], kernel: 3, time_stride: 2, size: [10, 32, 32] },
    Size { name: "into_128_20x32x32", channels: [4, 128], kernel: 3, time_stride: 1, size: [20, 32, 32] },
    Size {
        name: "shortcut_128_256_5x32x32",
        channels: [128, 256],
        kernel: 1,
        time_stride: 1,
        size: [5, 32, 32],
    },
];

/// Counted in frames of the result.
fn convolution(size: &Size, trains: bool) -> Layer {
    let Size { name, channels: [from, to], kernel, time_stride, size: [frames, height, width] } = *size;
    let kind = if trains { "" } else { "_frozen" };
    let layer = Layer::new(
        &format!("{name}{kind}"),
        frames / time_stride,
        (height * width, "positions"),
        move |scene, count| {
            let layer =
                CausalConv3d::new(from, to, [kernel; 3], scene.params().builder(trains).pp("convolution"))?
                    .with_time_stride(time_stride)?;
            let x: Tensor = scene.tokens("x", (1, from, count * time_stride, height, width))?;
            Ok(Box::new(move || layer.forward(&x)))
        },
    )
    .flops(2 * height * width * from * to * kernel.pow(3))
    .checked(if from >= 256 { 1 } else { 2 });
    if trains { layer } else { layer.frozen() }
}

fn main() -> Result<()> {
    let layers: Vec<Layer> =
        SIZES.iter().flat_map(|size| [true, false].map(|trains| convolution(size, trains))).collect();
    Suite::layers("conv3d", &layers)
}
