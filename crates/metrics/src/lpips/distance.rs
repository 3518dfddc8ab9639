//! The distance of two feature maps.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor, WithDType};
use rayon::prelude::*;

use super::UnitNorm;
use super::places::Places;
use crate::Result;

/// Pixels that a task takes: their lengths and distances stay in the fastest memory, and the values of all channels that
/// the second pass reads again near by.
const BLOCK: usize = 256;

impl UnitNorm {
    /// What a pixel's features are divided by, from the sum of their squares.
    #[inline(always)]
    fn length(self, squares: f64) -> f64 {
        match self {
            Self::Lpips => squares.sqrt() + 1e-10,
            Self::Torchmetrics => (squares + 1e-8).sqrt(),
        }
    }
}

/// For each pair, the sum over pixels of `places` times the sum over channels of `head` times the squared difference of
/// the features at unit length.
///
/// `features` `(2 N, C, h, w)` holds the first of each pair, then the second of each. All sums are f64.
///
/// # Errors
/// Tensor arithmetic.
pub(crate) fn distances(
    features: &Tensor,
    head: &[f64],
    norm: UnitNorm,
    places: &Places,
) -> Result<Vec<f64>> {
    let features = features.contiguous()?;
    let (storage, layout) = features.storage_and_layout();
    let Some((from, to)) = layout.contiguous_offsets() else {
        return composed(&features, head, norm, places);
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(fused(&values[from..to], head, norm, places)),
        Storage::Cpu(CpuStorage::F64(values)) => Ok(fused(&values[from..to], head, norm, places)),
        _ => composed(&features, head, norm, places),
    }
}

/// One pass: each block of pixels is read twice while it is near, and nothing but its one number is written. Cut by shape
/// and summed in order, so the same on any number of threads.
fn fused<T: WithDType + Into<f64>>(values: &[T], head: &[f64], norm: UnitNorm, places: &Places) -> Vec<f64> {
    let weights = places.weights();
    let (plane, blocks) = (weights.len(), weights.len().div_ceil(BLOCK));
    let image = plane * head.len();
    let (first, second) = values.split_at(values.len() / 2);
    let pairs = first.len() / image;
    let sums: Vec<f64> = (0..pairs * blocks)
        .into_par_iter()
        .map(|task| {
            let (pair, from) = (task / blocks, task % blocks * BLOCK);
            let pixels = Pixels { head, norm, plane, from, weights: &weights[from..plane.min(from + BLOCK)] };
            let images = pair * image..(pair + 1) * image;
            pulp::Arch::new().dispatch(|| pixels.distance(&first[images.clone()], &second[images.clone()]))
        })
        .collect();
    sums.chunks(blocks).map(|blocks| blocks.iter().sum()).collect()
}

/// A block of pixels next to each other.
struct Pixels<'a> {
    head: &'a [f64],
    norm: UnitNorm,
    /// Pixels of a channel.
    plane: usize,
    /// The block's first.
    from: usize,
    /// What each pixel counts.
    weights: &'a [f64],
}

impl Pixels<'_> {
    #[inline(always)]
    fn distance<T: Copy + Into<f64>>(&self, first: &[T], second: &[T]) -> f64 {
        let inverse = [self.inverse_lengths(first), self.inverse_lengths(second)];
        let mut distances = [0f64; BLOCK];
        for (channel, &weight) in self.head.iter().enumerate() {
            let features = self.channel(first, channel).iter().zip(self.channel(second, channel));
            let lengths = inverse[0].iter().zip(&inverse[1]);
            for ((sum, (&a, &b)), (by_a, by_b)) in distances.iter_mut().zip(features).zip(lengths) {
                let difference = a.into() * by_a - b.into() * by_b;
                *sum += weight * difference * difference;
            }
        }
        distances.iter().zip(self.weights).map(|(distance, weight)| distance * weight).sum()
    }

    #[inline(always)]
    fn inverse_lengths<T: Copy + Into<f64>>(&self, image: &[T]) -> [f64; BLOCK] {
        let mut squares = [0f64; BLOCK];
        for channel in 0..self.head.len() {
            for (sum, &value) in squares.iter_mut().zip(self.channel(image, channel)) {
                let value: f64 = value.into();
                *sum += value * value;
            }
        }
        squares.map(|squares| 1.0 / self.norm.length(squares))
    }

    #[inline(always)]
    fn channel<'v, T>(&self, image: &'v [T], channel: usize) -> &'v [T] {
        let from = channel * self.plane + self.from;
        &image[from..from + self.weights.len()]
    }
}

/// The same with tensor operations, for devices that the loop does not serve: in the features' dtype over the channels, in
/// f64 over the pixels.
fn composed(features: &Tensor, head: &[f64], norm: UnitNorm, places: &Places) -> Result<Vec<f64>> {
    let pairs = features.dim(0)? / 2;
    let unit = |from: usize| -> Result<Tensor> {
        let features = features.narrow(0, from, pairs)?;
        let squares = features.sqr()?.sum_keepdim(1)?;
        let length = match norm {
            UnitNorm::Lpips => (squares.sqrt()? + 1e-10)?,
            UnitNorm::Torchmetrics => (squares + 1e-8)?.sqrt()?,
        };
        Ok(features.broadcast_div(&length)?)
    };
    let head = Tensor::new(head, &Device::Cpu)?.to_dtype(features.dtype())?.to_device(features.device())?;
    let difference = (unit(0)? - unit(pairs)?)?.sqr()?;
    let map = difference.broadcast_mul(&head.reshape((1, (), 1, 1))?)?.sum(1)?;
    let map = map.flatten_from(1)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let weights = places.weights();
    let mean = |pixels: &Vec<f64>| pixels.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
    Ok(map.iter().map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(pairs: usize, channels: usize, height: usize, width: usize) -> Tensor {
        // A third of the features is zero, as behind a ReLU.
        let values: Vec<f64> = (0..2 * pairs * channels * height * width)
            .map(|at| if at % 3 == 0 { 0.0 } else { (at as f64 * 0.7311).sin().abs() })
            .collect();
        Tensor::from_vec(values, (2 * pairs, channels, height, width), &Device::Cpu).expect("a shape")
    }

    #[test]
    fn one_pass_computes_what_the_tensor_operations_do() {
        let (pairs, channels, height, width) = (3, 5, 21, 33); // 693 pixels: the last block is shorter
        let features = features(pairs, channels, height, width);
        let head: Vec<f64> = (0..channels).map(|channel| 0.1 + channel as f64).collect();
        for places in [Places::even(height, width), Places::resized([height, width], [64, 70])] {
            for norm in [UnitNorm::Lpips, UnitNorm::Torchmetrics] {
                let plain = composed(&features, &head, norm, &places).expect("plain");
                let fast = distances(&features, &head, norm, &places).expect("fast");
                let narrow = features.to_dtype(DType::F32).expect("f32");
                let narrow = distances(&narrow, &head, norm, &places).expect("fast");
                assert!(plain.iter().all(|value| *value > 0.01), "{plain:?}");
                for pair in 0..pairs {
                    assert!((fast[pair] - plain[pair]).abs() < 1e-13 * plain[pair], "{fast:?} {plain:?}");
                    assert!((narrow[pair] - plain[pair]).abs() < 1e-6 * plain[pair], "{narrow:?} {plain:?}");
                }
            }
        }
    }

    #[test]
    fn one_pixel_is_what_a_hand_computes() {
        // (3, 4) and (0, 2) at unit length are (0.6, 0.8) and (0, 1): 10 * 0.36 + 100 * 0.04.
        let features =
            Tensor::new(&[3f64, 4.0, 0.0, 2.0], &Device::Cpu).and_then(|x| x.reshape((2, 2, 1, 1)));
        let features = features.expect("two pixels");
        let found = distances(&features, &[10.0, 100.0], UnitNorm::Lpips, &Places::even(1, 1));
        assert!((found.expect("a distance")[0] - 7.6).abs() < 1e-8);
    }

    #[test]
    fn the_norms_differ_where_nearly_all_features_are_zero() {
        let features = Tensor::new(&[1e-4f64, 0.0], &Device::Cpu).and_then(|x| x.reshape((2, 1, 1, 1)));
        let features = features.expect("two pixels");
        let found = |norm| {
            distances(&features, &[1.0], norm, &Places::even(1, 1)).expect("a distance of two pixels")[0]
        };
        assert!((found(UnitNorm::Lpips) - 1.0).abs() < 1e-5);
        assert!((found(UnitNorm::Torchmetrics) - 0.5).abs() < 1e-9); // 1e-4 / sqrt(2e-8), squared
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let features = features(2, 7, 40, 50);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| distances(&features, &[0.3; 7], UnitNorm::Lpips, &Places::even(40, 50)))
                .expect("distances")
        };
        assert_eq!(run(1), run(3));
    }
}
