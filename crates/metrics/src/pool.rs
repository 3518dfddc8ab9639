//! The largest value of each window.

use candle_core::{Result, Tensor};
use cola_nn::Padding;

/// The largest of each window of `kernel` frames, rows and columns, `stride` apart, of `x` `(B, C, T, H, W)` with zeros
/// around it: for values behind a ReLU, of which none is below zero.
///
/// # Errors
/// A tensor of another rank or smaller than the window.
pub(crate) fn max_pool3d(
    x: &Tensor,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
) -> Result<Tensor> {
    let (_, _, frames, height, width) = x.dims5()?;
    let zeros = padding.around([frames, height, width], kernel, stride);
    let mut x = x.clone();
    for side in 0..3 {
        let [front, back] = zeros[side];
        x = x.pad_with_zeros(2 + side, front, back)?;
        let n = x.dim(2 + side)?;
        if n < kernel[side] {
            candle_core::bail!("max pool: a window of {kernel:?} is larger than the input {:?}", x.dims());
        }
        let count = ((n - kernel[side]) / stride[side] + 1) as u32;
        let mut most: Option<Tensor> = None;
        for at in 0..kernel[side] as u32 {
            let index: Vec<u32> = (0..count).map(|place| at + place * stride[side] as u32).collect();
            let seen = x.index_select(&Tensor::new(index, x.device())?, 2 + side)?;
            most = Some(match most {
                Some(most) => most.maximum(&seen)?,
                None => seen,
            });
        }
        let Some(most) = most else { candle_core::bail!("max pool: the window is empty") };
        x = most;
    }
    x.contiguous()
}
