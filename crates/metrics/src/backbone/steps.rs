//! What each network does, layer by layer: the one description that its names, its sizes and its code come from.

use crate::Network;

/// One step from pixels to features.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A convolution and a ReLU.
    Conv(Conv),
    /// SqueezeNet's module.
    Fire(Fire),
    /// The largest of `side x side` values, every second.
    Pool {
        /// Side of the window.
        side: usize,
        /// Whether a window that the input ends in counts.
        ceil: bool,
    },
    /// The features here are compared.
    Tap,
}

/// A square convolution with bias, followed by a ReLU.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    /// The tensors' names without `.weight` and `.bias`.
    pub(crate) name: String,
    /// Channels in.
    pub(crate) from: usize,
    /// Channels out.
    pub(crate) to: usize,
    /// Side of the kernel.
    pub(crate) kernel: usize,
    /// Pixels from one result to the next.
    pub(crate) stride: usize,
    /// Zeros on each side.
    pub(crate) zeros: usize,
}

impl Conv {
    fn at(layer: usize, [from, to]: [usize; 2], [kernel, stride, zeros]: [usize; 3]) -> Self {
        Self { name: format!("features.{layer}"), from, to, kernel, stride, zeros }
    }
}

/// SqueezeNet's module: few channels by a 1x1 convolution, many from them by a 1x1 and a 3x3 convolution, side by side.
#[derive(Clone, Debug)]
pub(crate) struct Fire {
    layer: usize,
    from: usize,
    squeeze: usize,
    expand: usize,
}

impl Fire {
    /// The squeeze, the 1x1 and the 3x3 expansion.
    pub(crate) fn convolutions(&self) -> [Conv; 3] {
        let Self { layer, from, squeeze, expand } = *self;
        let conv = |part: &str, from, to, kernel| Conv {
            name: format!("features.{layer}.{part}"),
            from,
            to,
            kernel,
            stride: 1,
            zeros: kernel / 2,
        };
        [
            conv("squeeze", from, squeeze, 1),
            conv("expand1x1", squeeze, expand, 1),
            conv("expand3x3", squeeze, expand, 3),
        ]
    }
}

impl Step {
    /// `(C, H, W)` behind the step; the network's smallest side is kept.
    fn out(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Conv(conv) => {
                let side = |n: usize| (n + 2 * conv.zeros - conv.kernel) / conv.stride + 1;
                [conv.to, side(height), side(width)]
            }
            Self::Fire(fire) => [2 * fire.expand, height, width],
            Self::Pool { side, ceil } => {
                let side = |n: usize| (n + ceil_zeros(*ceil, n, *side) - side) / 2 + 1;
                [channels, side(height), side(width)]
            }
            Self::Tap => [channels, height, width],
        }
    }
}

/// Rows or columns behind the input that a pool with a stride of 2 needs to see all of it.
pub(crate) fn ceil_zeros(ceil: bool, n: usize, side: usize) -> usize {
    if ceil { n.abs_diff(side) % 2 } else { 0 }
}

/// The steps of a network (torchvision's `alexnet`, `vgg16`, `squeezenet1_1`, up to the last tap).
pub(crate) fn steps(network: Network) -> Vec<Step> {
    match network {
        Network::Alex => alex(),
        Network::Vgg => vgg(),
        Network::Squeeze => squeeze(),
    }
}

fn alex() -> Vec<Step> {
    let conv = |layer, channels, shape| Step::Conv(Conv::at(layer, channels, shape));
    let pool = Step::Pool { side: 3, ceil: false };
    vec![
        conv(0, [3, 64], [11, 4, 2]),
        Step::Tap,
        pool.clone(),
        conv(3, [64, 192], [5, 1, 2]),
        Step::Tap,
        pool,
        conv(6, [192, 384], [3, 1, 1]),
        Step::Tap,
        conv(8, [384, 256], [3, 1, 1]),
        Step::Tap,
        conv(10, [256, 256], [3, 1, 1]),
        Step::Tap,
    ]
}

fn vgg() -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut layer, mut from) = (0, 3);
    for (to, count) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        if layer > 0 {
            steps.push(Step::Pool { side: 2, ceil: false });
            layer += 1;
        }
        for _ in 0..count {
            steps.push(Step::Conv(Conv::at(layer, [from, to], [3, 1, 1])));
            layer += 2; // the ReLU has a number, too
            from = to;
        }
        steps.push(Step::Tap);
    }
    steps
}

fn squeeze() -> Vec<Step> {
    let fire = |layer, [from, squeeze, expand]: [usize; 3]| Step::Fire(Fire { layer, from, squeeze, expand });
    let pool = Step::Pool { side: 3, ceil: true };
    vec![
        Step::Conv(Conv::at(0, [3, 64], [3, 2, 0])),
        Step::Tap,
        pool.clone(),
        fire(3, [64, 16, 64]),
        fire(4, [128, 16, 64]),
        Step::Tap,
        pool.clone(),
        fire(6, [128, 32, 128]),
        fire(7, [256, 32, 128]),
        Step::Tap,
        pool,
        fire(9, [256, 48, 192]),
        Step::Tap,
        fire(10, [384, 48, 192]),
        Step::Tap,
        fire(11, [384, 64, 256]),
        Step::Tap,
        fire(12, [512, 64, 256]),
        Step::Tap,
    ]
}

/// The most numbers that a step holds for one image of `height x width`: its input and its output, and for a module the
/// two halves besides.
pub(crate) fn widest(network: Network, height: usize, width: usize) -> usize {
    let mut shape = [3, height, width];
    let mut most = 0;
    for step in steps(network) {
        let out = step.out(shape);
        let [before, behind] = [shape, out].map(|shape| shape.iter().product::<usize>());
        most = most.max(match step {
            Step::Conv(_) | Step::Pool { .. } => before + behind,
            Step::Fire(_) => before + 2 * behind,
            Step::Tap => before,
        });
        shape = out;
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_have_the_channels_that_the_heads_weigh() {
        for network in Network::ALL {
            let mut shape = [3, 64, 64];
            let mut taps = Vec::new();
            for step in steps(network) {
                shape = step.out(shape);
                if matches!(step, Step::Tap) {
                    taps.push(shape[0]);
                }
            }
            assert_eq!(taps, network.channels());
        }
    }

    #[test]
    fn a_pool_that_rounds_up_sees_every_pixel() {
        for n in 3..20 {
            let padded = n + ceil_zeros(true, n, 3);
            assert_eq!((padded - 3) % 2, 0, "{n}");
            assert_eq!((padded - 3) / 2 + 1, (n - 3usize).div_ceil(2) + 1);
        }
        assert_eq!(2 + ceil_zeros(true, 2, 3), 3);
    }
}
