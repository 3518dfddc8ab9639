//! The first frame.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use cola_data::{ClipOptions, ClipSource, Crop, Frames, OpenOptions, resize};
use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::sources::{decode_split, robodesk};

/// The centre of a picture file as a square of `side` pixels.
///
/// # Errors
/// A file that is missing, neither PNG nor JPEG, or damaged.
pub fn picture(file: &Path, side: usize) -> Result<Frames> {
    let refused = || format!("{}: expected a PNG or JPEG picture", file.display());
    let reader = ImageReader::open(file).and_then(ImageReader::with_guessed_format).with_context(refused)?;
    let mut decoder = reader.into_decoder().with_context(refused)?;
    // Cameras store pictures lying on their side and say so.
    let orientation = decoder.orientation().with_context(refused)?;
    let mut picture = DynamicImage::from_decoder(decoder).with_context(refused)?;
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    square(&Frames { count: 1, height, width, rgb: picture.into_raw() }, side)
}

/// The first frame of the first held-out RoboDesk clip, in this view.
///
/// # Errors
/// The clips' files are missing or damaged.
pub fn robodesk_frame(view: ClipOptions, side: usize) -> Result<Frames> {
    let options = ClipOptions { camera: None, frames: 1, frame_stride: 1, ..view };
    let clips = decode_split(&*cola_data::open(&robodesk(), &OpenOptions::default())?, "valid", &options)?;
    square(&clips.clip(0)?.frames, side)
}

/// The largest centred square, resized.
fn square(frames: &Frames, side: usize) -> Result<Frames> {
    let (height, width) = (frames.height as f64, frames.width as f64);
    let edge = height.min(width);
    let crop = Crop { left: (width - edge) / 2.0, top: (height - edge) / 2.0, width: edge, height: edge };
    Ok(resize(frames, &crop, side, side)?)
}

/// `(1, T, 3, H, W)` in `[0, 1]`.
///
/// # Errors
/// The device's.
pub fn to_tensor(frames: &Frames, device: &Device) -> Result<Tensor> {
    let shape = (1, frames.count, frames.height, frames.width, 3);
    let bytes = Tensor::from_slice(&frames.rgb, shape, device)?;
    Ok((bytes.permute((0, 1, 4, 2, 3))?.contiguous()?.to_dtype(DType::F32)? / 255.0)?)
}
