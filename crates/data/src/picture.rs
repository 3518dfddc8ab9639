//! A PNG or JPEG picture as RGB.

use std::path::Path;

use crate::{Error, Frames};

/// Bytes of a decoded pixel at most: four channels of 16 bits.
const PIXEL: u64 = 8;

/// What a file may hold beside its pixels: colour profiles, texts, tables.
const BESIDE: u64 = 1 << 20;

/// Bytes that a picture of this height and width may occupy, in its file or decoded.
pub(crate) fn most_bytes((height, width): (usize, usize)) -> u64 {
    PIXEL * height as u64 * width as u64 + BESIDE
}

/// Where a picture came from, for messages.
pub(crate) struct Origin<'a> {
    /// The file that holds it.
    pub(crate) file: &'a Path,
    /// Its place there, such as a column and a row.
    pub(crate) place: String,
}

/// Decodes the file content `bytes`, a PNG or JPEG of this height and width. Grey becomes RGB, transparency is dropped,
/// 16 bits are rounded to 8.
///
/// The size is compared before anything is allocated for the pixels.
#[cfg(feature = "pictures")]
pub(crate) fn decode(bytes: &[u8], size: (usize, usize), origin: &Origin<'_>) -> Result<Frames, Error> {
    use std::io::Cursor;
    use std::panic::catch_unwind;

    use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

    const MEND: &str = "correct the size of this camera's pictures in the data set's metadata";
    let (height, width) = size;
    let read = || {
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(most_bytes(size));
        reader.limits(limits);
        let decoder = reader.into_decoder()?;
        let (wide, tall) = decoder.dimensions();
        let found = (tall as usize, wide as usize);
        Ok::<_, ImageError>(match found == size {
            true => Ok(DynamicImage::from_decoder(decoder)?.into_rgb8().into_raw()),
            false => Err(found),
        })
    };
    let unreadable = |found: String| Error::Field {
        file: origin.file.to_owned(),
        field: origin.place.clone(),
        found,
        expected: "a PNG or JPEG picture".into(),
        mend: "the picture is damaged, copy the file again from the data set's source",
    };
    // Decoders are many and their input is anything: a panic is one more way to say that they cannot read it.
    match catch_unwind(read) {
        Ok(Ok(Ok(rgb))) => Ok(Frames { count: 1, height, width, rgb }),
        Ok(Ok(Err(found))) => {
            Err(Error::FrameSize { file: origin.file.to_owned(), found, expected: size, mend: MEND })
        }
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_) => Err(unreadable("a picture on which the decoder stopped".into())),
    }
}

/// Says which feature is missing.
#[cfg(not(feature = "pictures"))]
pub(crate) fn decode(_: &[u8], _: (usize, usize), origin: &Origin<'_>) -> Result<Frames, Error> {
    Err(Error::Field {
        file: origin.file.to_owned(),
        field: origin.place.clone(),
        found: "a PNG or JPEG picture".into(),
        expected: "video: this build does not read pictures".into(),
        mend: "build cola-data with its feature `pictures`, which is on by default",
    })
}
