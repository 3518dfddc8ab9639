//! Encoded pictures inside other files.

#[cfg(feature = "pictures")]
mod coded;

#[cfg(feature = "pictures")]
pub(crate) use coded::{PIXELS, decode, head};

/// Bytes of a decoded pixel at most: four channels of 16 bits.
const PIXEL: u64 = 8;

/// What a file may hold beside its pixels: colour profiles, texts, tables.
const BESIDE: u64 = 1 << 20;

/// Bytes that the file of a picture of this height and width may have.
pub(crate) fn most_bytes((height, width): (usize, usize)) -> u64 {
    PIXEL * height as u64 * width as u64 + BESIDE
}

/// Says which feature is missing.
#[cfg(not(feature = "pictures"))]
pub(crate) fn decode(
    _: &[u8],
    _: Option<(usize, usize)>,
    origin: impl Fn() -> (std::path::PathBuf, String),
) -> Result<crate::Frames, crate::Error> {
    let (file, field) = origin();
    Err(crate::Error::Field {
        file,
        field,
        found: "a PNG or JPEG picture".into(),
        expected: "video: this build does not read pictures".into(),
        mend: "build cola-data with its feature `pictures`, which is on by default",
    })
}
