//! Encoded pictures inside other files: PNG and JPEG bytes to RGB.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::{Error, Frames};

/// Most pixels of a picture, 4096 x 4096; a decoder needs up to 8 bytes for each.
pub(crate) const PIXELS: usize = 1 << 24;

/// What a decoder may allocate besides the pixels: lines, tables, profiles.
const OVERHEAD: usize = 16 << 20;

const MEND: &str =
    "the picture is damaged or contradicts the metadata; copy the file again from the data set's source";

/// What the head of a picture says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Rows, pixels.
    pub(crate) height: usize,
    /// Pixels of a row.
    pub(crate) width: usize,
    /// Whether it has three colours, not grey alone.
    pub(crate) colour: bool,
}

/// The head of PNG or JPEG bytes; `None` for everything else.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let head = || {
        let decoder = reader(bytes)?.into_decoder().ok()?;
        let (width, height) = decoder.dimensions();
        let grey = [ColorType::L8, ColorType::L16, ColorType::La8, ColorType::La16];
        let colour = !grey.contains(&decoder.color_type());
        Some(Head { height: height as usize, width: width as usize, colour })
    };
    guarded(head).ok().flatten()
}

/// Decodes one PNG or JPEG picture. Grey becomes three equal colours, 16 bits become 8, transparency is dropped, marks of
/// rotation are not applied.
///
/// The picture must have the size `size`, height and width, if one is promised, and at most [`PIXELS`] pixels. That is
/// checked in its head, before anything is allocated for the pixels. `origin` tells the file and the place in it, for
/// messages.
///
/// # Errors
/// Bytes that are neither PNG nor JPEG, are damaged, or hold a picture of another size.
pub(crate) fn decode(
    bytes: &[u8],
    size: Option<(usize, usize)>,
    origin: impl Fn() -> (PathBuf, String),
) -> Result<Frames, Error> {
    let refused = |found: String, expected: String| {
        let (file, field) = origin();
        Error::Field { file, field, found, expected, mend: MEND }
    };
    let Some(reader) = reader(bytes) else {
        let start = bytes.get(..8).unwrap_or(bytes);
        return Err(refused(
            format!("{} bytes that begin with {start:02x?}", bytes.len()),
            "PNG or JPEG".into(),
        ));
    };
    let unreadable = |found: String| refused(found, "a readable picture".into());
    let decoder = guarded(|| reader.into_decoder()).and_then(|decoder| decoder.map_err(told));
    let mut decoder = decoder.map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    let found = (height as usize, width as usize);
    let pixels = found.0.saturating_mul(found.1);
    if pixels == 0 || pixels > PIXELS || size.is_some_and(|size| size != found) {
        let expected = match size {
            Some((height, width)) => format!("{height} x {width}"),
            None => format!("1 to {PIXELS} pixels"),
        };
        return Err(refused(format!("{height} x {width} (height x width)"), expected));
    }
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(width), Some(height));
    limits.max_alloc = Some((8 * pixels + OVERHEAD) as u64);
    let decoded = guarded(|| {
        decoder.set_limits(limits)?;
        DynamicImage::from_decoder(decoder)
    });
    let picture = decoded.and_then(|picture| picture.map_err(told)).map_err(unreadable)?;
    Ok(Frames { count: 1, height: found.0, width: found.1, rgb: picture.into_rgb8().into_raw() })
}

/// A reader if the bytes begin as PNG or JPEG do.
fn reader(bytes: &[u8]) -> Option<ImageReader<Cursor<&[u8]>>> {
    let format = match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        _ => return None,
    };
    Some(ImageReader::with_format(Cursor::new(bytes), format))
}

fn told(error: ImageError) -> String {
    error.to_string()
}

/// Runs a decoder and turns its panics into the words it left. Nothing of the decoder is used after that.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let found = panic.downcast_ref::<String>().cloned();
        let found = found.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        format!("the decoder stopped: {}", found.unwrap_or_else(|| "no reason given".into()))
    })
}
