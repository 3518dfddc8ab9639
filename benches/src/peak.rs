//! What the machine gives at best: matrix products and copies, the two limits that a layer's speed is measured by.

use std::hint::black_box;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::cases::constant;

/// The two limits of a device.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Operations a second of a large f32 matrix product, by all threads.
    pub flops: f64,
    /// Bytes a second of a copy by all threads, reading and writing both counted; far more than the caches hold.
    pub copy: f64,
}

impl Peak {
    /// The best of a few runs, about half a second. The short form, of a few milliseconds, only shows that it runs.
    ///
    /// # Errors
    /// A device without memory for it.
    pub fn measure(device: &Device, short: bool) -> Result<Self> {
        let (side, numbers, runs) = if short { (128, 1 << 20, 1) } else { (1024, 1 << 26, 8) };
        let a = constant((side, side), "a")?.to_device(device)?;
        let b = constant((side, side), "b")?.to_device(device)?;
        let product = best(device, runs, || {
            black_box(a.matmul(&b)?);
            Ok(())
        })?;
        let copied = if device.is_cpu() {
            let (from, mut to) = (vec![1f32; numbers], vec![0f32; numbers]);
            best(device, runs, || {
                copy(&mut to, &from);
                Ok(())
            })?
        } else {
            let from = Tensor::zeros(numbers, DType::F32, device)?;
            best(device, runs, || {
                black_box(from.copy()?);
                Ok(())
            })?
        };
        Ok(Self { flops: 2.0 * (side as f64).powi(3) / product, copy: 8.0 * numbers as f64 / copied })
    }
}

/// `to = from`, by all threads.
pub fn copy(to: &mut [f32], from: &[f32]) {
    let part = from.len().div_ceil(rayon::current_num_threads()).max(1);
    to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
    black_box(to);
}

/// Seconds of the fastest run, after one that is not counted.
fn best(device: &Device, runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for timed in 0..=runs {
        let start = Instant::now();
        run()?;
        device.synchronize()?;
        if timed > 0 {
            least = least.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(least)
}
