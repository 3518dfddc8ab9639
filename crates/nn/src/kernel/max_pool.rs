//! The maximum over windows: over rows, then over columns, then over frames.

use super::fixed_conv::Window;
use super::{for_each, vectorised};

/// The larger one, a NaN if there is one.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

#[inline(always)]
fn raise(most: &mut [f32], x: &[f32]) {
    most.iter_mut().zip(x).for_each(|(most, x)| *most = larger(*most, *x));
}

/// `x` are volumes `(T, H, W)` one after another; what lies around them takes no part. Every window sees a part of its
/// volume.
pub(crate) fn max_pool(x: &[f32], sizes: [usize; 3], window: &Window) -> Vec<f32> {
    let result = window.result(sizes);
    let pixels = result[1] * result[2];
    let volumes = x.chunks_exact(sizes.iter().product());
    let mut y = vec![0f32; volumes.len() * result[0] * pixels];
    for_each(x.len(), y.chunks_exact_mut(result[0] * pixels).zip(volumes), |(y, x)| {
        vectorised(
            #[inline(always)]
            || volume(y, x, sizes, window, result),
        );
    });
    y
}

#[inline(always)]
fn volume(y: &mut [f32], x: &[f32], sizes: [usize; 3], window: &Window, result: [usize; 3]) {
    let (pixels, frame) = (result[1] * result[2], sizes[1] * sizes[2]);
    let mut row = vec![f32::NEG_INFINITY; sizes[2] + window.zeros[2].iter().sum::<usize>()];
    if window.kernel[0] == 1 && window.stride[0] == 1 && window.zeros[0] == [0; 2] {
        for (y, x) in y.chunks_exact_mut(pixels).zip(x.chunks_exact(frame)) {
            plane(y, x, sizes[2], window, &mut row);
        }
        return;
    }
    let mut planes = vec![0f32; sizes[0] * pixels];
    for (y, x) in planes.chunks_exact_mut(pixels).zip(x.chunks_exact(frame)) {
        plane(y, x, sizes[2], window, &mut row);
    }
    for (at, y) in y.chunks_exact_mut(pixels).enumerate() {
        let [first, end] = window.range(0, at, sizes[0]);
        y.copy_from_slice(&planes[first * pixels..][..pixels]);
        planes[(first + 1) * pixels..end * pixels].chunks_exact(pixels).for_each(|x| raise(y, x));
    }
}

/// One frame of the result. `row` has minus infinity where columns are added.
#[inline(always)]
fn plane(y: &mut [f32], x: &[f32], width: usize, window: &Window, row: &mut [f32]) {
    let (height, result) = (x.len() / width, window.result([window.kernel[0], x.len() / width, width]));
    let (left, step) = (window.zeros[2][0], window.stride[2]);
    for (at, y) in y.chunks_exact_mut(result[2]).enumerate() {
        let [first, end] = window.range(1, at, height);
        let most = &mut row[left..][..width];
        most.copy_from_slice(&x[first * width..][..width]);
        x[(first + 1) * width..end * width].chunks_exact(width).for_each(|x| raise(most, x));
        y.fill(f32::NEG_INFINITY);
        for tap in 0..window.kernel[2] {
            let x = &row[tap..];
            match step {
                1 => raise(y, x),
                2 => {
                    let (pairs, last) = x.as_chunks::<2>();
                    y.iter_mut().zip(pairs).for_each(|(y, pair)| *y = larger(*y, pair[0]));
                    if let (Some(y), [last]) = (y.get_mut(pairs.len()), last) {
                        *y = larger(*y, *last);
                    }
                }
                _ => y.iter_mut().zip(x.iter().step_by(step)).for_each(|(y, x)| *y = larger(*y, *x)),
            }
        }
    }
}
