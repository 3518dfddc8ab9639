//! H.264 through openh264.
//!
//! Pictures equal those of FFmpeg bit for bit, but for one flaw of openh264: it leaves out the smoothing of some edges
//! in B frames (cisco/openh264#3269), which changes a few pixels by up to 5 of 255. Without B frames there is none.

use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::{Decode, Show, Stop, refused};
use crate::Error;
use crate::mp4::{Avc, Track};
use crate::planes::Planes;

pub(super) struct H264<'a> {
    track: &'a Track,
    stream: &'a Avc,
    decoder: Decoder,
    /// Units of a sample, with start codes.
    packet: Vec<u8>,
    /// Chroma of pictures that have none.
    neutral: Vec<u8>,
}

impl<'a> H264<'a> {
    pub(super) fn new(track: &'a Track, stream: &'a Avc, first: usize) -> Result<Self, Error> {
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new());
        let decoder = decoder.map_err(|source| refused(track, first, source))?;
        Ok(Self { track, stream, decoder, packet: stream.parameters.clone(), neutral: Vec::new() })
    }

    /// Appends the units of a sample to the packet, with start codes in place of the lengths.
    fn append(&mut self, number: usize, sample: &[u8]) -> Result<(), Error> {
        let mut rest = sample;
        while !rest.is_empty() {
            let unit = rest.split_at_checked(self.stream.prefix).and_then(|(length, after)| {
                let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                after.split_at_checked(length)
            });
            let (unit, after) = unit.ok_or_else(|| Error::Field {
                file: self.track.file.clone(),
                field: format!("sample {number}"),
                found: "a unit longer than the sample".into(),
                expected: format!("units that fill {} bytes", sample.len()),
                mend: "the video is damaged, copy it again from its source",
            })?;
            self.packet.extend_from_slice(&[0, 0, 0, 1]);
            self.packet.extend_from_slice(unit);
            rest = after;
        }
        Ok(())
    }
}

impl Decode for H264<'_> {
    fn push(&mut self, number: usize, sample: Vec<u8>, show: &mut Show<'_>) -> Result<(), Stop> {
        self.append(number, &sample)?;
        // Flushing after each packet makes the decoder fail on later packets and lose the order of presentation.
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let picture = self.decoder.decode_with_options(&self.packet, options);
        self.packet.clear();
        let grey = self.stream.grey;
        match picture.map_err(|source| refused(self.track, number, source))? {
            Some(picture) => show(planes(self.track, &picture, grey.then_some(&mut self.neutral))),
            None => Ok(()),
        }
    }

    fn finish(&mut self, last: usize, show: &mut Show<'_>) -> Result<(), Stop> {
        let delayed = self.decoder.flush_remaining().map_err(|source| refused(self.track, last, source))?;
        let grey = self.stream.grey;
        delayed
            .iter()
            .try_for_each(|picture| show(planes(self.track, picture, grey.then_some(&mut self.neutral))))
    }
}

/// The planes of a picture. Where it has luma alone the decoder leaves any chroma; `neutral` takes its place.
fn planes<'a>(track: &Track, picture: &'a DecodedYUV<'_>, neutral: Option<&'a mut Vec<u8>>) -> Planes<'a> {
    let ((width, height), (luma, chroma, _)) = (picture.dimensions(), picture.strides());
    let (y, mut u, mut v) = (picture.y(), picture.u(), picture.v());
    if let Some(neutral) = neutral {
        neutral.resize(chroma * height.div_ceil(2), 128);
        (u, v) = (&*neutral, &*neutral);
    }
    Planes { y, u, v, strides: (luma, chroma), height, width, colour: track.colour }
}
