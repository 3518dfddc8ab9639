//! Largest values of windows over frames and pixels.

use candle_core::{DType, Result, Tensor, WithDType};
use cola_nn::Padding;
use rayon::prelude::*;

/// `(B, C, T, H, W)` to `(B, C, T', H', W')`: the largest value of each window, what lies beyond the edges left out. A
/// window with NaN gives NaN.
pub(crate) fn max_pool3d(
    x: &Tensor,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
) -> Result<Tensor> {
    match x.dtype() {
        DType::F64 => pooled::<f64>(x, kernel, stride, padding),
        _ => pooled::<f32>(x, kernel, stride, padding),
    }
}

fn pooled<T: WithDType + PartialOrd>(
    x: &Tensor,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
) -> Result<Tensor> {
    let (batch, channels, frames, height, width) = x.dims5()?;
    let mut sizes = [frames, height, width];
    let zeros = padding.around(sizes, kernel, stride);
    let mut values = x.flatten_all()?.to_vec1::<T>()?;
    // The largest of a box is the largest along one side after the other.
    for side in 0..3 {
        let (n, inner) = (sizes[side], sizes[side + 1..].iter().product::<usize>());
        let [front, back] = zeros[side];
        let count = (n + front + back - kernel[side]) / stride[side] + 1;
        let mut largest = vec![T::zero(); values.len() / n * count];
        largest.par_chunks_mut(count * inner).zip(values.par_chunks(n * inner)).for_each(|(to, from)| {
            for (place, to) in to.chunks_mut(inner).enumerate() {
                let start = (place * stride[side]).saturating_sub(front);
                let end = (place * stride[side] + kernel[side]).saturating_sub(front).min(n);
                to.copy_from_slice(&from[start * inner..][..inner]);
                for entry in start + 1..end {
                    for (to, value) in to.iter_mut().zip(&from[entry * inner..][..inner]) {
                        // Not-a-number is larger than nothing; it has to stay all the same.
                        if *value > *to || value.partial_cmp(value).is_none() {
                            *to = *value;
                        }
                    }
                }
            }
        });
        values = largest;
        sizes[side] = count;
    }
    let [frames, height, width] = sizes;
    Tensor::from_vec(values, (batch, channels, frames, height, width), x.device())
}
