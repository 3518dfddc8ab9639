//! The metrics over clips that are in memory.

use std::hint::black_box;

use candle_core::{DType, Device, Error, Result};
use cola_metrics::{
    I3d, I3dConfig, Lpips, LpipsConfig, Network, PsnrConfig, SsimConfig, Video, psnr_frames, ssim_frames,
};
use cola_nn::Params;
use cola_random::{stream, uniforms};

use super::{Case, constant};

/// Grey levels of two clips that resemble each other; `unit` as numbers in `[0, 1]`.
fn clips(frames: usize, side: usize, unit: bool) -> Result<[Video; 2]> {
    let shape = [frames, 3, side, side];
    let count = shape.iter().product();
    let mut rng = stream(0, "clips", 0, 0);
    let a = uniforms(count, 0.0, 255.0, &mut rng);
    let b: Vec<f32> = uniforms(count, -20.0, 20.0, &mut rng)
        .iter()
        .zip(&a)
        .map(|(shift, level)| (level + shift).clamp(0.0, 255.0))
        .collect();
    let video = |levels: &[f32]| match unit {
        true => Video::from_f32(shape, levels.iter().map(|level| level.round() / 255.0).collect()),
        false => Video::from_u8(shape, levels.iter().map(|level| level.round() as u8).collect()),
    };
    Ok([video(&a).map_err(Error::wrap)?, video(&b).map_err(Error::wrap)?])
}

fn psnr(unit: bool) -> Result<Case> {
    let [a, b] = clips(64, 256, unit)?;
    Ok(Case::new(0, move || {
        black_box(psnr_frames(&a, &b, &PsnrConfig::default()).map_err(Error::wrap)?);
        Ok(())
    }))
}

pub(super) fn psnr_u8() -> Result<Case> {
    psnr(false)
}

pub(super) fn psnr_f32() -> Result<Case> {
    psnr(true)
}

fn ssim(side: usize) -> Result<Case> {
    let [a, b] = clips(16, side, true)?;
    Ok(Case::new(0, move || {
        black_box(ssim_frames(&a, &b, &SsimConfig::default()).map_err(Error::wrap)?);
        Ok(())
    }))
}

pub(super) fn ssim_256() -> Result<Case> {
    ssim(256)
}

pub(super) fn ssim_64() -> Result<Case> {
    ssim(64)
}

fn lpips(network: Network, frames: usize) -> Result<Case> {
    let [a, b] = clips(frames, 256, true)?;
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let config = LpipsConfig { network, ..LpipsConfig::default() };
    let lpips = Lpips::new(&config, params.frozen()).map_err(Error::wrap)?;
    let heads: usize = network.channels().iter().sum();
    Ok(Case::new(params.count() + heads, move || {
        black_box(lpips.frames(&a, &b).map_err(Error::wrap)?);
        Ok(())
    }))
}

pub(super) fn lpips_alex() -> Result<Case> {
    lpips(Network::Alex, 8)
}

pub(super) fn lpips_vgg() -> Result<Case> {
    lpips(Network::Vgg, 4)
}

pub(super) fn lpips_squeeze() -> Result<Case> {
    lpips(Network::Squeeze, 8)
}

/// One clip of 16 frames to its logits.
pub(super) fn i3d_clip16() -> Result<Case> {
    let i3d = I3d::kinetics400(&I3dConfig::default(), &Device::Cpu).map_err(Error::wrap)?;
    let statistics = |name: &str| name.ends_with(".running_mean") || name.ends_with(".running_var");
    let parameters = I3d::tensors()
        .iter()
        .filter(|(name, _)| !statistics(name))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let x = constant((1, 3, 16, 224, 224), "clip")?.clamp(-1.0, 1.0)?;
    Ok(Case::new(parameters, move || {
        black_box(i3d.logits(&x).map_err(Error::wrap)?);
        Ok(())
    }))
}
