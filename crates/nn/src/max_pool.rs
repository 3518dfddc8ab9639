//! The largest number of each window of frames and pixels.

use candle_core::{DType, Result, Tensor};

use crate::Padding;
use crate::kernel::fixed_conv::Window;
use crate::kernel::max_pool::max_pool;
use crate::kernel::{lend, tensor};

/// `(B, C, T, H, W)` to `(B, C, T', H', W')`: the largest number of each window, with `T' = (T + zeros - kernel) /
/// stride + 1` and so on. What `padding` puts around the input takes no part, as if it were minus infinity; a window's
/// NaN is its result.
///
/// Windows that only rounding up would add (PyTorch's `ceil_mode`) come with padding behind the last frame, row or
/// column. Like [`FixedConv3d`](crate::FixedConv3d) it keeps no graph and refuses an input that tracks one.
///
/// # Errors
/// An input of another rank, empty or smaller than the kernel; an empty kernel, a step of zero, padding that holds a
/// whole window; an input that tracks gradients.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_nn::{Padding, max_pool3d};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[3f32, 1., 4.], [1., 5., 9.], [2., 6., 5.]], &Device::Cpu)?.reshape((1, 1, 1, 3, 3))?;
/// let y = max_pool3d(&x, [1, 2, 2], [1, 2, 2], Padding::Same)?; // one more row and column
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [5., 9., 6., 5.]);
/// # Ok(())
/// # }
/// ```
pub fn max_pool3d(x: &Tensor, kernel: [usize; 3], stride: [usize; 3], padding: Padding) -> Result<Tensor> {
    let (batch, channels, frames, height, width) = x.dims5()?;
    let sizes = [frames, height, width];
    if kernel.contains(&0) || stride.contains(&0) {
        candle_core::bail!("maximum over windows: the kernel {kernel:?} or the stride {stride:?} has a zero");
    }
    let around = padding.around(sizes, kernel, stride);
    let fits = (0..3).all(|side| sizes[side] + around[side][0] + around[side][1] >= kernel[side]);
    let sees = (0..3).all(|side| around[side].iter().all(|zeros| *zeros < kernel[side]));
    if !fits || !sees || x.elem_count() == 0 {
        candle_core::bail!(
            "maximum over windows of {kernel:?} with padding {around:?} got a tensor of shape {:?}",
            x.dims()
        );
    }
    if x.track_op() {
        candle_core::bail!("maximum over windows keeps no graph: detach its input");
    }
    if x.dtype() != DType::F32 || !x.device().is_cpu() {
        return composed(x, kernel, stride, around);
    }
    let window = Window { kernel, stride, zeros: around };
    let x = x.contiguous()?;
    let y = max_pool(lend(&x).values()?, sizes, &window);
    let [frames, height, width] = window.result(sizes);
    tensor(y, &(batch, channels, frames, height, width).into())
}

/// For devices and dtypes that the loops do not serve, side after side. A window reaches an edge of the input if it reaches beyond: the edge may stand in for the padding.
fn composed(x: &Tensor, kernel: [usize; 3], stride: [usize; 3], around: [[usize; 2]; 3]) -> Result<Tensor> {
    let mut x = x.contiguous()?;
    for side in 0..3 {
        let (size, [front, back]) = (x.dims()[2 + side], around[side]);
        let count = (size + front + back - kernel[side]) / stride[side] + 1;
        let seen = |tap: usize| {
            let index =
                (0..count).map(|at| (at * stride[side] + tap).saturating_sub(front).min(size - 1) as u32);
            x.index_select(&Tensor::from_iter(index, x.device())?, 2 + side)
        };
        let mut most = seen(0)?;
        for tap in 1..kernel[side] {
            let seen = seen(tap)?;
            let takes = (seen.gt(&most)? + seen.ne(&seen)?)?;
            most = takes.where_cond(&seen, &most)?;
        }
        x = most;
    }
    Ok(x)
}
