//! A clip that plays in a loop.

use std::collections::HashMap;
use std::path::Path;

use color_quant::NeuQuant;

use crate::{Color, Error, Image};

/// Colors of one GIF palette.
const PALETTE: usize = 256;
/// Pixels that the palette is learned from; more changes it little.
const SAMPLE: usize = 1 << 18;

/// Writes frames as a GIF that repeats for ever, whole or not at all.
///
/// All frames share one palette, so that a still background does not flicker: the clip's own colors where there
/// are no more than 256, else 256 learned from all frames (NeuQuant). Times are rounded to the hundredths of a
/// second that a GIF knows, and are at least two of them, since players slow down what asks for less.
///
/// # Errors
/// No frames, frames that differ in size or exceed 65535 pixels, or what [`cola_files::write_atomically`] meets.
pub fn save_gif(
    path: impl AsRef<Path>,
    frames: &[Image],
    delay_ms: u32,
    hold_last_ms: u32,
) -> Result<(), Error> {
    let path = path.as_ref();
    let size = Image::check_clip(frames, "a GIF", path)?;
    let (Ok(width), Ok(height)) = (u16::try_from(size.0), u16::try_from(size.1)) else {
        return Err(Error::GifSize { file: path.to_owned(), width: size.0, height: size.1 });
    };

    let mut palette = Palette::of(frames);
    let encode = |palette: &mut Palette| {
        let mut encoder = gif::Encoder::new(Vec::new(), width, height, &palette.rgb)?;
        encoder.set_repeat(gif::Repeat::Infinite)?;
        for (index, frame) in frames.iter().enumerate() {
            let delay = if index + 1 == frames.len() { hold_last_ms.max(delay_ms) } else { delay_ms };
            encoder.write_frame(&gif::Frame {
                width,
                height,
                delay: u16::try_from(delay.saturating_add(5) / 10).unwrap_or(u16::MAX).max(2),
                buffer: palette.indices(frame).into(),
                ..gif::Frame::default()
            })?;
        }
        encoder.into_inner()
    };
    let bytes = encode(&mut palette).map_err(|source| Error::Gif { file: path.to_owned(), source })?;
    cola_files::write_atomically(path, &bytes).map_err(Error::io(path, "write"))
}

/// The colors of a clip and the way from a pixel to its index.
struct Palette {
    rgb: Vec<u8>,
    /// `None` where `known` holds every color of the clip.
    learned: Option<NeuQuant>,
    /// Clips repeat their colors, and a look here is much faster than a search.
    known: HashMap<Color, u8>,
}

impl Palette {
    fn of(frames: &[Image]) -> Self {
        Self::exact(frames).unwrap_or_else(|| Self::learned(frames))
    }

    /// The clip's own colors, if they are few enough.
    fn exact(frames: &[Image]) -> Option<Self> {
        let (mut rgb, mut known) = (Vec::new(), HashMap::new());
        for color in pixels(frames) {
            if !known.contains_key(&color) {
                known.insert(color, u8::try_from(known.len()).ok()?);
                rgb.extend_from_slice(&color);
            }
        }
        Some(Self { rgb, learned: None, known })
    }

    fn learned(frames: &[Image]) -> Self {
        let count: usize = frames.iter().map(|frame| frame.width * frame.height).sum();
        // An odd stride, or a frame's even width would give columns of it only.
        let stride = (count / SAMPLE) | 1;
        let sample: Vec<u8> = pixels(frames).step_by(stride).flat_map(|[r, g, b]| [r, g, b, 255]).collect();
        let learned = NeuQuant::new(1, PALETTE, &sample);
        Self { rgb: learned.color_map_rgb(), learned: Some(learned), known: HashMap::new() }
    }

    fn indices(&mut self, frame: &Image) -> Vec<u8> {
        let Self { learned, known, .. } = self;
        let index =
            |[r, g, b]: Color| learned.as_ref().map_or(0, |palette| palette.index_of(&[r, g, b, 255]) as u8);
        pixels(std::slice::from_ref(frame))
            .map(|color| *known.entry(color).or_insert_with(|| index(color)))
            .collect()
    }
}

fn pixels(frames: &[Image]) -> impl Iterator<Item = Color> {
    frames.iter().flat_map(|frame| frame.rgb.chunks_exact(3)).map(|pixel| [pixel[0], pixel[1], pixel[2]])
}
