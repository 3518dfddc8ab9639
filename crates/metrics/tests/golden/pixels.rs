//! `pairs`: errors, decibels and structural similarity of every pair.

use candle_core::{DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};
use cola_metrics::{
    Averaging, Planes, PsnrConfig, PsnrMode, SsimConfig, Video, Window, luma, mse_frames, psnr, psnr_frames,
    ssim_frames, ssim_map,
};

const EXACT: Tolerance = Tolerance::Absolute(1e-9);
/// What references that compute in f32 can tell.
const SINGLE: Tolerance = Tolerance::Absolute(2e-5);

pub(crate) fn compare_pairs(golden: &Golden) -> Result<()> {
    if golden.has("gauss11") {
        let window = Window::Gaussian { side: 11, sigma: 1.5 };
        compare(golden, "gauss11", window.weights(), Tolerance::Absolute(1e-15))?;
    }
    let pairs = golden.names("").filter_map(|name| name.strip_suffix(".a"));
    for pair in pairs.filter(|pair| !pair.ends_with(".luma_u8")) {
        let video = |side| Video::from_tensor(golden.tensor(&format!("{pair}.{side}"))).map_err(bail);
        let (a, b) = (video("a")?, video("b")?);
        psnr_of(golden, pair, &a, &b)?;
        ssim_of(golden, pair, &a, &b)?;
        if golden.has(&format!("{pair}.luma_u8.a")) {
            luma_of(golden, pair, &a, &b)?;
        }
    }
    Ok(())
}

fn psnr_of(golden: &Golden, pair: &str, a: &Video, b: &Video) -> Result<()> {
    let decibels = |mode| psnr_frames(a, b, &PsnrConfig { mode, ..PsnrConfig::default() });
    let pooled = PsnrConfig { averaging: Averaging::Pooled, ..PsnrConfig::default() };
    let named = |value: &str| format!("{pair}.{value}");
    // One frame's error may be a thousand times another's: each is held to its own size.
    let errors = mse_frames(a, b).map_err(bail)?;
    if golden.has(&named("mse")) {
        for (frame, (found, expected)) in errors.iter().zip(values(golden, &named("mse"))?).enumerate() {
            let difference = (found - expected).abs();
            if difference.is_nan() || difference > 1e-12 * expected {
                golden.fail(format!("{pair}.mse[{frame}]: found {found}, expected {expected}"));
            }
        }
    }
    compare(golden, &named("mse"), Ok(errors), Tolerance::Relative(1e-12))?;
    compare(golden, &named("psnr"), decibels(PsnrMode::Inf), EXACT)?;
    compare(golden, &named("psnr_cap100"), decibels(PsnrMode::Cap100), EXACT)?;
    compare(golden, &named("psnr_eps1e-8"), decibels(PsnrMode::Eps1e8), EXACT)?;
    let pooled = psnr(a, b, &pooled).map(|value| vec![value]);
    compare(golden, &named("psnr_pooled"), pooled, Tolerance::Absolute(1e-4))
}

fn ssim_of(golden: &Golden, pair: &str, a: &Video, b: &Video) -> Result<()> {
    for (value, config) in [
        ("ssim", SsimConfig::default()),
        ("ssim_skimage_gauss", SsimConfig::default()),
        ("ssim_piq", SsimConfig::piq()),
        ("ssim_skimage_uniform7", SsimConfig::scikit_image()),
        ("ssim_torchmetrics", SsimConfig::torchmetrics()),
    ] {
        compare(golden, &format!("{pair}.{value}"), ssim_frames(a, b, &config), EXACT)?;
        let [a, b] = [single(a)?, single(b)?];
        compare(golden, &format!("{pair}.{value}"), ssim_frames(&a, &b, &config), SINGLE)?;
    }
    let map = format!("{pair}.ssim_map_frame0");
    if golden.has(&map) {
        let found = ssim_map(a, b, 0, &SsimConfig::default()).map_err(bail)?;
        golden.compare(&map, &found, EXACT)?;
    }
    Ok(())
}

fn luma_of(golden: &Golden, pair: &str, a: &Video, b: &Video) -> Result<()> {
    let mut stored = Vec::new();
    for (side, video) in [("a", a), ("b", b)] {
        let name = format!("{pair}.luma_u8.{side}");
        let own = luma(video).and_then(|own| own.tensor(&Device::Cpu)).map_err(bail)?;
        let own = (own * 255.0)?.round()?;
        golden.compare(&name, &own, Tolerance::Absolute(1.0))?;
        stored.push(Video::from_tensor(&golden.tensor(&name).unsqueeze(1)?).map_err(bail)?);
    }
    let (a, b) = (&stored[0], &stored[1]);
    let config = PsnrConfig { planes: Planes::Luma, ..PsnrConfig::default() };
    compare(golden, &format!("{pair}.psnr_luma"), psnr_frames(a, b, &config), EXACT)?;
    for (value, config) in [
        ("ssim_luma_uniform7", SsimConfig::luma_uniform7()),
        ("ssim_luma_gauss", SsimConfig::luma_gaussian()),
    ] {
        compare(golden, &format!("{pair}.{value}"), ssim_frames(a, b, &config), EXACT)?;
    }
    Ok(())
}

/// Compares where the file has the tensor: not every reference takes every pair.
fn compare(
    golden: &Golden,
    name: &str,
    found: cola_metrics::Result<Vec<f64>>,
    tolerance: Tolerance,
) -> Result<()> {
    if !golden.has(name) {
        return Ok(());
    }
    let found = found.map_err(|error| bail(error).context(name.to_string()))?;
    golden.compare(name, &Tensor::new(found, &Device::Cpu)?, tolerance)
}

/// The video in `[0, 1]`, f32.
fn single(video: &Video) -> Result<Video> {
    Video::from_tensor(&video.tensor(&Device::Cpu).map_err(bail)?).map_err(bail)
}

fn values(golden: &Golden, name: &str) -> Result<Vec<f64>> {
    golden.tensor(name).flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn bail(error: cola_metrics::Error) -> candle_core::Error {
    candle_core::Error::msg(error)
}
