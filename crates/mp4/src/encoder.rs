//! Pictures as an H.264 stream.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, Encoder as Codec, EncoderConfig, FrameRate, FrameType,
    IntraFramePeriod, QpRange, RateControlMode, TransferCharacteristics, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};
use openh264::{Error as CodecError, OpenH264API};

use crate::{Error, VideoOptions};

/// One encoded frame.
pub(crate) struct Picture {
    /// Units, each after its length in 4 bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether decoding can start here.
    pub(crate) key: bool,
}

/// Encodes frames one after the other.
pub(crate) struct Encoder {
    file: PathBuf,
    codec: Codec,
    /// Sides of the frames that come.
    given: (usize, usize),
    /// Sides of the frames in the file, both even.
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Of the last frame encoded; they do not change.
    pub(crate) sequence_parameters: Vec<u8>,
    pub(crate) picture_parameters: Vec<u8>,
    frames: usize,
}

impl Encoder {
    /// `options` must have been checked; `file` is for the errors.
    pub(crate) fn new(file: &Path, options: &VideoOptions) -> Result<Self, Error> {
        let (width, height) = (options.width.next_multiple_of(2), options.height.next_multiple_of(2));
        // At most 3840.
        let (width, height) = (width as u16, height as u16);
        let config = config(width, height, options);
        let failed =
            |source: CodecError| Error::H264 { file: file.to_owned(), frame: 0, source: Box::new(source) };
        Ok(Self {
            file: file.to_owned(),
            codec: Codec::with_api_config(OpenH264API::from_source(), config).map_err(failed)?,
            given: (options.width, options.height),
            width,
            height,
            sequence_parameters: Vec::new(),
            picture_parameters: Vec::new(),
            frames: 0,
        })
    }

    /// Makes the next frame a key frame.
    pub(crate) fn begin_group(&mut self) {
        self.codec.force_intra_frame();
    }

    /// Encodes the next frame, `(height, width, 3)` of the size announced.
    pub(crate) fn encode(&mut self, rgb: &[u8]) -> Result<Picture, Error> {
        let (width, height) = self.given;
        let even = even(rgb, width, height);
        let planes =
            YUVBuffer::from_rgb8_source(RgbSliceU8::new(&even, (self.width.into(), self.height.into())));
        let (file, frame) = (&self.file, self.frames);
        let coded = self.codec.encode(&planes).map_err(|source| Error::H264 {
            file: file.clone(),
            frame,
            source: Box::new(source),
        })?;
        let kind = coded.frame_type();
        let mut bytes = Vec::new();
        for layer in (0..coded.num_layers()).filter_map(|layer| coded.layer(layer)) {
            for unit in (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)) {
                // The start code is two or three zeros and a one.
                let zeros = unit.iter().take_while(|byte| **byte == 0).count();
                let unit = unit.get(zeros + 1..).unwrap_or_default();
                // In an MP4 parameters stand aside, all else in the picture.
                match unit.first().map(|header| header & 0x1f) {
                    None => (),
                    Some(7) => self.sequence_parameters = unit.to_vec(),
                    Some(8) => self.picture_parameters = unit.to_vec(),
                    Some(_) => {
                        bytes.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                        bytes.extend_from_slice(unit);
                    }
                }
            }
        }
        // Were a frame left out, all later ones would be shown too early.
        if bytes.is_empty() || self.sequence_parameters.len() < 4 || self.picture_parameters.is_empty() {
            return Err(Error::NoPicture { file: file.clone(), frame, found: format!("{kind:?}") });
        }
        self.frames += 1;
        Ok(Picture { bytes, key: kind == FrameType::IDR })
    }
}

/// Constant quality, one thread: the same frames give the same bytes.
fn config(width: u16, height: u16, options: &VideoOptions) -> EncoderConfig {
    // The encoder knows 1 to 60 frames a second and chooses the level by the rates.
    let rate = options.fps.clamp(1.0, 60.0) as f32;
    let bits = f32::from(width) * f32::from(height) * rate * 2.0;
    // What the encoder converts to are studio-range BT.601 planes; the pixels are sRGB all the same.
    let color = VuiConfig::bt601()
        .color_primaries(ColorPrimaries::Bt709)
        .transfer_characteristics(TransferCharacteristics::Srgb);
    EncoderConfig::new()
        // The one mode that holds the quantizer within bounds and can leave no frame out, whatever the bit rate.
        .rate_control_mode(RateControlMode::Bufferbased)
        .qp(QpRange::new(options.quantizer, options.quantizer))
        .bitrate(BitRate::from_bps(bits.clamp(64e3, 200e6) as u32))
        .max_frame_rate(FrameRate::from_hz(rate))
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(options.key_every))
        .complexity(Complexity::High)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .num_threads(1)
        .vui(color)
}

/// The frame with even sides: chroma has half of the pixels, so the last column and row are repeated where needed.
fn even(rgb: &[u8], width: usize, height: usize) -> Cow<'_, [u8]> {
    if width.is_multiple_of(2) && height.is_multiple_of(2) {
        return Cow::Borrowed(rgb);
    }
    let mut padded = Vec::with_capacity(width.next_multiple_of(2) * height.next_multiple_of(2) * 3);
    let rows = rgb.chunks_exact(3 * width);
    let last = rows.clone().next_back().filter(|_| !height.is_multiple_of(2));
    for row in rows.chain(last) {
        padded.extend_from_slice(row);
        if !width.is_multiple_of(2) {
            padded.extend_from_slice(&row[row.len() - 3..]);
        }
    }
    Cow::Owned(padded)
}
