//! AV1 through rav1d, the Rust port of dav1d.
//!
//! re_rav1d 0.1.3 never frees 48 bytes of every picture, and as much each time that it is asked and has none: some 100
//! bytes a picture, 100 MB in a run that decodes a million.

use re_rav1d::{Decoder, Error as Refusal, Picture, PixelLayout, PlanarImageComponent, Settings, pixel};

use super::{Decode, Show, Stop, refused};
use crate::Error;
use crate::mp4::Track;
use crate::planes::{Colour, Planes};

pub(super) struct Av1<'a> {
    track: &'a Track,
    decoder: Decoder,
    /// Units that come before the first sample.
    config: &'a [u8],
}

impl<'a> Av1<'a> {
    pub(super) fn new(track: &'a Track, config: &'a [u8], first: usize) -> Result<Self, Error> {
        let mut settings = Settings::new();
        // Stretches are decoded in parallel already; with one thread a picture comes out with its own sample.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        // Of a video in layers, the best one only: one picture a sample.
        settings.set_all_layers(false);
        // Whatever a damaged stream claims, no picture larger than the header's takes memory.
        let pixels = track.size.0.saturating_mul(track.size.1);
        settings.set_frame_size_limit(u32::try_from(pixels).unwrap_or(u32::MAX));
        let decoder = Decoder::with_settings(&settings).map_err(|source| refused(track, first, source))?;
        Ok(Self { track, decoder, config })
    }

    /// Shows the pictures that are ready.
    fn drain(&mut self, number: usize, show: &mut Show<'_>) -> Result<(), Stop> {
        loop {
            match self.decoder.get_picture() {
                Ok(picture) => self.show(number, &picture, show)?,
                Err(Refusal::Again) => return Ok(()),
                Err(source) => return Err(refused(self.track, number, source).into()),
            }
        }
    }

    fn show(&self, number: usize, picture: &Picture, show: &mut Show<'_>) -> Result<(), Stop> {
        // The header of the file promised this layout; the stream decides.
        let depth = picture.bit_depth();
        if picture.pixel_layout() != PixelLayout::I420 || depth != 8 {
            return Err(Stop::Failed(Error::Field {
                file: self.track.file.clone(),
                field: format!("sample {number}"),
                found: format!("{depth} bits, {:?}", picture.pixel_layout()),
                expected: "8 bits, I420, as the header says".into(),
                mend: "the video is damaged, copy it again from its source",
            }));
        }
        let planes = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V];
        let [y, u, v] = planes.map(|component| picture.plane(component));
        let stride = |component| picture.stride(component) as usize;
        show(Planes {
            y: &y,
            u: &u,
            v: &v,
            strides: (stride(PlanarImageComponent::Y), stride(PlanarImageComponent::U)),
            height: picture.height() as usize,
            width: picture.width() as usize,
            colour: colour(picture),
        })
    }
}

impl Decode for Av1<'_> {
    fn push(&mut self, number: usize, mut sample: Vec<u8>, show: &mut Show<'_>) -> Result<(), Stop> {
        if !self.config.is_empty() {
            sample.splice(..0, self.config.iter().copied());
            self.config = &[];
        }
        let mut sent = match sample.len() {
            // The decoder takes no empty buffer; the missing picture is counted later.
            0 => Ok(()),
            _ => self.decoder.send_data(sample, None, None, None),
        };
        // Every turn shows a picture or takes more of the sample; a decoder that does neither is stuck.
        let mut turns = 0;
        loop {
            self.drain(number, show)?;
            match sent {
                Ok(()) => return Ok(()),
                Err(Refusal::Again) if turns < MOST_TURNS => sent = self.decoder.send_pending_data(),
                Err(source) => return Err(refused(self.track, number, source).into()),
            }
            turns += 1;
        }
    }

    fn finish(&mut self, last: usize, show: &mut Show<'_>) -> Result<(), Stop> {
        self.drain(last, show)
    }
}

/// Times that a sample is offered to the decoder: each takes one frame of it, and a sample has few hidden ones.
const MOST_TURNS: usize = 1024;

/// The stream's own marks.
fn colour(picture: &Picture) -> Colour {
    let code = match picture.matrix_coefficients() {
        pixel::MatrixCoefficients::BT709 => 1,
        pixel::MatrixCoefficients::BT2020NonConstantLuminance => 9,
        pixel::MatrixCoefficients::BT2020ConstantLuminance => 10,
        _ => 2,
    };
    Colour::tagged(code, matches!(picture.color_range(), pixel::YUVRange::Full))
}
