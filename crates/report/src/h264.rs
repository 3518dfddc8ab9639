//! Pictures as an H.264 stream.

use std::borrow::Cow;
use std::path::Path;

use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    QpRange, RateControlMode, TransferCharacteristics, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};
use openh264::{Error as CodecError, OpenH264API};

use crate::{Error, Image};

/// The least side of a picture that the encoder takes.
const SMALLEST: usize = 16;
/// Long and short side of the largest one.
const LARGEST: (usize, usize) = (3840, 2160);
/// Quantizer of every block: about 47 dB in brightness on a robot's camera; 12 is the least that the encoder takes.
const QP: u8 = 14;
/// Frames from one key frame to the next, so how many a player decodes at most to show any.
const KEY_EVERY: u32 = 16;

/// An encoded clip.
pub(crate) struct Stream {
    /// Both even.
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) sequence_parameters: Vec<u8>,
    pub(crate) picture_parameters: Vec<u8>,
    /// One for each frame, in order.
    pub(crate) pictures: Vec<Picture>,
}

/// One encoded frame.
pub(crate) struct Picture {
    /// Units, each after its length in 4 bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether decoding can start here.
    pub(crate) key: bool,
}

impl Stream {
    /// Encodes frames of one size; `file` is for the errors.
    pub(crate) fn encode(file: &Path, frames: &[Image], fps: f64) -> Result<Self, Error> {
        let first = frames.first().ok_or(Error::NoFrames { what: "an MP4" })?;
        let (long, short) = (first.width.max(first.height), first.width.min(first.height));
        if short < SMALLEST || long > LARGEST.0 || short > LARGEST.1 {
            return Err(Error::Mp4Size { file: file.to_owned(), width: first.width, height: first.height });
        }
        let (width, height) =
            (first.width.next_multiple_of(2) as u16, first.height.next_multiple_of(2) as u16);

        let failed = |frame| {
            move |source: CodecError| Error::H264 { file: file.to_owned(), frame, source: Box::new(source) }
        };
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config(width, height, fps))
            .map_err(failed(0))?;
        let mut stream = Self {
            width,
            height,
            sequence_parameters: Vec::new(),
            picture_parameters: Vec::new(),
            pictures: Vec::with_capacity(frames.len()),
        };
        for (index, frame) in frames.iter().enumerate() {
            let frame = even(frame);
            let planes =
                YUVBuffer::from_rgb8_source(RgbSliceU8::new(&frame.rgb, (frame.width, frame.height)));
            let coded = encoder.encode(&planes).map_err(failed(index))?;
            let kind = coded.frame_type();
            let mut bytes = Vec::new();
            for layer in (0..coded.num_layers()).filter_map(|layer| coded.layer(layer)) {
                for unit in (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)) {
                    stream.sort(unit, &mut bytes);
                }
            }
            // Were a frame left out, all later ones would be shown too early.
            if bytes.is_empty()
                || stream.sequence_parameters.len() < 4
                || stream.picture_parameters.is_empty()
            {
                return Err(Error::NoPicture {
                    file: file.to_owned(),
                    frame: index,
                    found: format!("{kind:?}"),
                });
            }
            stream.pictures.push(Picture { bytes, key: kind == FrameType::IDR });
        }
        Ok(stream)
    }

    /// Puts a unit where an MP4 has it: parameters aside, all else into the picture.
    fn sort(&mut self, unit: &[u8], picture: &mut Vec<u8>) {
        // The start code is two or three zeros and a one.
        let zeros = unit.iter().take_while(|byte| **byte == 0).count();
        let unit = unit.get(zeros + 1..).unwrap_or_default();
        match unit.first().map(|header| header & 0x1f) {
            None => (),
            Some(7) => self.sequence_parameters = unit.to_vec(),
            Some(8) => self.picture_parameters = unit.to_vec(),
            Some(_) => {
                picture.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                picture.extend_from_slice(unit);
            }
        }
    }
}

/// Constant quality, one thread: the same frames give the same bytes.
fn config(width: u16, height: u16, fps: f64) -> EncoderConfig {
    // The encoder knows 1 to 60 frames a second and chooses the level by the rates.
    let rate = fps.clamp(1.0, 60.0) as f32;
    let bits = f32::from(width) * f32::from(height) * rate * 2.0;
    // What the encoder converts to are studio-range BT.601 planes; the pixels are sRGB all the same.
    let color = VuiConfig::bt601()
        .color_primaries(ColorPrimaries::Bt709)
        .transfer_characteristics(TransferCharacteristics::Srgb);
    EncoderConfig::new()
        // The one mode that holds the quantizer within bounds and can leave no frame out, whatever the bit rate.
        .rate_control_mode(RateControlMode::Bufferbased)
        .qp(QpRange::new(QP, QP))
        .bitrate(BitRate::from_bps(bits.clamp(64e3, 200e6) as u32))
        .max_frame_rate(FrameRate::from_hz(rate))
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_EVERY))
        .complexity(Complexity::High)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .num_threads(1)
        .vui(color)
}

/// The frame with even sides: chroma has half of the pixels, so the last column and row are repeated where needed.
fn even(frame: &Image) -> Cow<'_, Image> {
    let (right, below) = (frame.width % 2, frame.height % 2);
    if (right, below) == (0, 0) {
        return Cow::Borrowed(frame);
    }
    let mut padded = Image::new(frame.width + right, frame.height + below, [0; 3]);
    // Of the shifted ones only the edges stay.
    for (x, y) in [(right, below), (right, 0), (0, below), (0, 0)] {
        padded.paste(x, y, frame);
    }
    Cow::Owned(padded)
}
