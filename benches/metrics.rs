//! The metrics in frames per second, a pair of frames counted once. Their numbers are checked against the references in
//! the crate's tests; PSNR is compared with what memory gives, the networks with a large matrix product.

use candle_core::Result;
use cola_benches::cases::CASES;
use cola_benches::{Amount, Ready, Suite};

/// Case, frames, bytes read, operations of the convolutions.
const METRICS: [(&str, usize, usize, f64); 8] = [
    ("psnr_u8", 64, 2 * 64 * FRAME, 0.0),
    ("psnr_f32", 64, 2 * 4 * 64 * FRAME, 0.0),
    ("ssim_256", 16, 0, 0.0),
    ("ssim_64", 16, 0, 0.0),
    ("lpips_alex", 8, 0, ALEX),
    ("lpips_vgg", 4, 0, VGG),
    ("lpips_squeeze", 8, 0, SQUEEZE),
    ("i3d_clip16", 16, 0, I3D),
];

/// Numbers of a frame of 256 x 256 pixels.
const FRAME: usize = 3 * 256 * 256;
/// Operations for the two pictures of a frame, and for a clip of 16 frames.
const ALEX: f64 = 2.0 * 2.0 * 0.869e9;
const VGG: f64 = 2.0 * 2.0 * 20.04e9;
const SQUEEZE: f64 = 2.0 * 2.0 * 0.347e9;
const I3D: f64 = 2.0 * 27.79e9 / 16.0;

fn main() -> Result<()> {
    let mut suite = Suite::new("metrics")?;
    // The cases are built on the CPU.
    for place in suite.places().iter().filter(|place| place.device.is_cpu()) {
        for (name, frames, bytes, flops) in METRICS {
            let Some((_, build)) = CASES.iter().find(|(case, _)| *case == name) else { continue };
            let amount = Amount { units: frames as f64, unit: "frames", flops: flops * frames as f64 };
            suite.time(place, name, "score", amount, || {
                let mut case = build()?;
                (case.run)()?;
                Ok(Ready::new(bytes, case.run))
            });
        }
    }
    suite.finish();
    Ok(())
}
