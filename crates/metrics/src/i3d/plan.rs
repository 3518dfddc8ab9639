//! The network's stages: names and sizes.

/// One stage: its name in weight files, and what it does.
pub(crate) type Stage = (&'static str, Layer);

/// What a stage does, all of it with TensorFlow's `SAME` padding.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    /// Convolution, batch norm, ReLU.
    Unit { shape: UnitShape, stride: [usize; 3] },
    /// Largest value of each window.
    Pool { kernel: [usize; 3], stride: [usize; 3] },
    /// Four branches over one input.
    Block(BlockShape),
}

/// Channels in and out and the kernel over frames, height and width.
#[derive(Clone, Copy)]
pub(crate) struct UnitShape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: [usize; 3],
}

impl UnitShape {
    pub(crate) const fn new(input: usize, output: usize, side: usize) -> Self {
        Self { input, output, kernel: [side; 3] }
    }

    /// The names below a unit's own, and their shapes.
    pub(crate) fn tensors(self) -> [(&'static str, Vec<usize>); 5] {
        let [kt, kh, kw] = self.kernel;
        let each = || vec![self.output];
        [
            ("conv3d.weight", vec![self.output, self.input, kt, kh, kw]),
            ("bn.weight", each()),
            ("bn.bias", each()),
            ("bn.running_mean", each()),
            ("bn.running_var", each()),
        ]
    }
}

/// Channels of an Inception block.
#[derive(Clone, Copy)]
pub(crate) struct BlockShape {
    input: usize,
    /// Of `b0`, `b1a`, `b1b`, `b2a`, `b2b`, `b3b`.
    widths: [usize; 6],
}

impl BlockShape {
    /// The units by the names below the block's own. The three in front read the block's input.
    pub(crate) fn units(self) -> [(&'static str, UnitShape); 6] {
        let [b0, b1a, b1b, b2a, b2b, b3b] = self.widths;
        [
            ("b0", UnitShape::new(self.input, b0, 1)),
            ("b1a", UnitShape::new(self.input, b1a, 1)),
            ("b2a", UnitShape::new(self.input, b2a, 1)),
            ("b1b", UnitShape::new(b1a, b1b, 3)),
            ("b2b", UnitShape::new(b2a, b2b, 3)),
            ("b3b", UnitShape::new(self.input, b3b, 1)),
        ]
    }
}

const fn unit(input: usize, output: usize, side: usize, stride: usize) -> Layer {
    Layer::Unit { shape: UnitShape::new(input, output, side), stride: [stride; 3] }
}

const fn block(input: usize, widths: [usize; 6]) -> Layer {
    Layer::Block(BlockShape { input, widths })
}

/// From pixels to 1024 channels, in order.
pub(crate) const STAGES: [Stage; 16] = [
    ("Conv3d_1a_7x7", unit(3, 64, 7, 2)),
    ("MaxPool3d_2a_3x3", Layer::Pool { kernel: [1, 3, 3], stride: [1, 2, 2] }),
    ("Conv3d_2b_1x1", unit(64, 64, 1, 1)),
    ("Conv3d_2c_3x3", unit(64, 192, 3, 1)),
    ("MaxPool3d_3a_3x3", Layer::Pool { kernel: [1, 3, 3], stride: [1, 2, 2] }),
    ("Mixed_3b", block(192, [64, 96, 128, 16, 32, 32])),
    ("Mixed_3c", block(256, [128, 128, 192, 32, 96, 64])),
    ("MaxPool3d_4a_3x3", Layer::Pool { kernel: [3, 3, 3], stride: [2, 2, 2] }),
    ("Mixed_4b", block(480, [192, 96, 208, 16, 48, 64])),
    ("Mixed_4c", block(512, [160, 112, 224, 24, 64, 64])),
    ("Mixed_4d", block(512, [128, 128, 256, 24, 64, 64])),
    ("Mixed_4e", block(512, [112, 144, 288, 32, 64, 64])),
    ("Mixed_4f", block(528, [256, 160, 320, 32, 128, 128])),
    ("MaxPool3d_5a_2x2", Layer::Pool { kernel: [2, 2, 2], stride: [2, 2, 2] }),
    ("Mixed_5b", block(832, [256, 160, 320, 32, 128, 128])),
    ("Mixed_5c", block(832, [384, 192, 384, 48, 128, 128])),
];
