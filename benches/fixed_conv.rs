//! Convolution with fixed weights at sizes of I3D, VGG16, AlexNet and SqueezeNet, in positions of the result per second.
//! Nothing is trained, so there is no way back.

use candle_core::Result;
use cola_benches::{Layer, Suite};
use cola_nn::{FixedConv3d, Padding};

/// One convolution.
struct Size {
    name: &'static str,
    channels: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
    /// Clips or images; frames, height, width.
    batch: usize,
    size: [usize; 3],
}

const fn i3d(
    name: &'static str,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    size: [usize; 3],
) -> Size {
    let (kernel, stride) = ([kernel; 3], [stride; 3]);
    Size { name, channels, kernel, stride, padding: Padding::Same, batch: 1, size }
}

/// Eight images.
const fn image(
    name: &'static str,
    channels: [usize; 2],
    kernel: usize,
    [stride, zeros]: [usize; 2],
    side: usize,
) -> Size {
    Size {
        name,
        channels,
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: Padding::Explicit([[0; 2], [zeros; 2], [zeros; 2]]),
        batch: 8,
        size: [1, side, side],
    }
}

const SIZES: [Size; 12] = [
    i3d("i3d_1a", [3, 64], 7, 2, [16, 224, 224]),
    i3d("i3d_2c", [64, 192], 3, 1, [8, 56, 56]),
    i3d("i3d_3b", [96, 128], 3, 1, [8, 28, 28]),
    i3d("i3d_4f", [160, 320], 3, 1, [4, 14, 14]),
    i3d("i3d_5c", [192, 384], 3, 1, [2, 7, 7]),
    i3d("i3d_4b_points", [480, 192], 1, 1, [4, 14, 14]),
    image("vgg_64", [64, 64], 3, [1, 1], 256),
    image("vgg_512", [512, 512], 3, [1, 1], 16),
    image("alex_11x11", [3, 64], 11, [4, 2], 256),
    image("alex_5x5", [64, 192], 5, [1, 2], 31),
    image("squeeze_3x3", [3, 64], 3, [2, 0], 256),
    image("squeeze_points", [128, 16], 1, [1, 0], 63),
];

/// Counted in clips or images.
fn convolution(size: &Size) -> Layer {
    let Size { name, channels: [from, to], kernel, stride, padding, batch, size: [frames, height, width] } =
        *size;
    let zeros = padding.around([frames, height, width], kernel, stride);
    let sides = [frames, height, width];
    let positions: usize =
        (0..3).map(|i| (sides[i] + zeros[i][0] + zeros[i][1] - kernel[i]) / stride[i] + 1).product();
    let taps: usize = kernel.iter().product();
    Layer::new(name, batch, (positions, "positions"), move |scene, count| {
        let scale = f64::sqrt((from * taps) as f64).recip();
        let [depth, rows, columns] = kernel;
        let weight = (scene.constant("weight", (to, from, depth, rows, columns))? * scale)?;
        let layer = FixedConv3d::new(&weight, Some(&scene.constant("bias", to)?))?
            .with_stride(stride)?
            .with_padding(padding)
            .with_relu();
        let x = scene.constant("x", (count, from, frames, height, width))?;
        Ok(Box::new(move || layer.forward(&x)))
    })
    .flops(2 * positions * from * to * taps)
    .checked(1)
    .forward_only()
}

fn main() -> Result<()> {
    Suite::layers("fixed_conv", &SIZES.each_ref().map(convolution))
}
