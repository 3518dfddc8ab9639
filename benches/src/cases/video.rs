//! The video VAE's parts at their published size.

use std::hint::black_box;

use candle_core::{DType, Device, Result};
use cola_nn::{CausalConv3d, Params};
use cola_video_vae::{Encoder, ImageConfig, ImageDecoder, ImageEncoder, TemporalConfig};

use super::{Case, constant};

/// Latent images of one chunk: 256 pixels through an 8-fold image encoder.
const SIDE: usize = 32;

/// One chunk of frames to the numbers that its posterior is made of. The encoder without the decoder: where the whole
/// VAE is built, parameters that nobody uses count.
pub(super) fn temporal_encode() -> Result<Case> {
    let config = TemporalConfig::open_sora_v1_2();
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let encoder = Encoder::new(&config, params.frozen().pp("encoder"))?;
    let (inner, outer) = (2 * config.latent_embed_dim, 2 * config.embed_dim);
    let quant_conv = CausalConv3d::new(inner, outer, [1; 3], params.frozen().pp("quant_conv").pp("conv"))?;
    let images = constant((1, config.in_out_channels, config.micro_frame_size, SIDE, SIDE), "images")?;
    let front = config.micro_frame_size.next_multiple_of(config.time_factor()) - config.micro_frame_size;
    Ok(Case::new(params.count(), move || {
        let padded = images.pad_with_zeros(2, front, 0)?;
        black_box(quant_conv.forward(&encoder.forward(&padded)?)?);
        Ok(())
    }))
}

/// One picture to the numbers that its posterior is made of.
pub(super) fn image_encode() -> Result<Case> {
    let config = ImageConfig::open_sora_v1_2();
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let encoder = ImageEncoder::new(&config, params.frozen().pp("encoder"))?;
    let width = 2 * config.latent_channels;
    let quant_conv = CausalConv3d::of_images(width, width, 1, params.frozen().pp("quant_conv"))?;
    let side = SIDE * config.factor();
    let pictures = constant((1, config.in_channels, 1, side, side), "pictures")?;
    Ok(Case::new(params.count(), move || {
        black_box(quant_conv.forward(&encoder.forward(&pictures)?)?);
        Ok(())
    }))
}

/// One latent image to a picture.
pub(super) fn image_decode() -> Result<Case> {
    let config = ImageConfig::open_sora_v1_2();
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let width = config.latent_channels;
    let post_quant_conv = CausalConv3d::of_images(width, width, 1, params.frozen().pp("post_quant_conv"))?;
    let decoder = ImageDecoder::new(&config, params.frozen().pp("decoder"))?;
    let latents = constant((1, width, 1, SIDE, SIDE), "latents")?;
    Ok(Case::new(params.count(), move || {
        black_box(decoder.forward(&post_quant_conv.forward(&latents)?)?);
        Ok(())
    }))
}
