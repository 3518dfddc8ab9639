//! The description of a track's samples: codec, size and colour.

use super::sps::Sps;
use super::{MEND_FOREIGN, Tables, boxes, foreign};
use crate::Error;
use crate::planes::Colour;

/// How the samples are coded.
pub(crate) enum Codec {
    H264(Avc),
    /// Units that come before the first sample: the sequence header.
    #[cfg(feature = "av1")]
    Av1(Vec<u8>),
}

/// What an H.264 decoder needs beside the samples.
pub(crate) struct Avc {
    /// Bytes of the length that precedes each unit of a sample, 1 to 4.
    pub(crate) prefix: usize,
    /// Sequence and picture parameter sets, with start codes.
    pub(crate) parameters: Vec<u8>,
    /// Whether the pictures have luma alone.
    pub(crate) grey: bool,
}

impl Codec {
    /// Whether samples may be shown in another order than that of decoding. An AV1 sample holds its hidden pictures.
    pub(super) fn reorders(&self) -> bool {
        matches!(self, Self::H264(_))
    }
}

/// What all samples have in common; the fields are those of [`Track`](super::Track).
pub(super) struct Description {
    pub(super) size: (usize, usize),
    pub(super) codec: Codec,
    pub(super) colour: Colour,
}

impl Tables<'_> {
    /// The first entry of the sample descriptions.
    pub(super) fn description(&self, content: &[u8]) -> Result<Description, Error> {
        let entry = boxes(content.get(8..).unwrap_or_default()).next();
        let (codec, entry) = entry.ok_or_else(|| self.error("stsd", "no entry", "one"))?;
        // 78 bytes of fixed fields come before the boxes of a picture format.
        let extra = entry.get(78..).unwrap_or_default();
        // Matrix and range that the stream names.
        let mut named = None;
        let codec = match codec {
            b"avc1" | b"avc3" => {
                let (codec, colour) = self.h264(self.find(extra, &["avcC"])?)?;
                named = colour;
                codec
            }
            b"av01" => self.av1(extra)?,
            b"hvc1" | b"hev1" => return Err(self.foreign("HEVC (H.265)")),
            b"vp08" => return Err(self.foreign("VP8")),
            b"vp09" => return Err(self.foreign("VP9")),
            other => return Err(self.foreign(format!("`{}`", other.escape_ascii()))),
        };
        let number = |at: usize| Some(u16::from_be_bytes(*entry.get(at..)?.first_chunk()?));
        let (Some(height), Some(width)) = (number(26), number(24)) else {
            return Err(self.error("stsd", format!("{} bytes", entry.len()), "height and width"));
        };
        let boxed = boxes(extra).find(|(name, _)| *name == b"colr");
        let full = named.is_some_and(|(_, full)| full);
        let boxed = boxed.and_then(|(_, content)| tagged(content, full));
        let colour = boxed.or(named).map(|(matrix, full)| Colour::tagged(matrix, full));
        let colour = colour.unwrap_or(Colour::UNTAGGED);
        Ok(Description { size: (height.into(), width.into()), codec, colour })
    }

    fn foreign(&self, found: impl ToString) -> Error {
        foreign(self.file, found, MEND_FOREIGN)
    }

    /// The codec, and the matrix and range that the stream names.
    fn h264(&self, config: &[u8]) -> Result<(Codec, Option<(u16, bool)>), Error> {
        match config.get(1) {
            Some(110) => return Err(self.foreign("H.264 High 10")),
            Some(122) => return Err(self.foreign("H.264 High 4:2:2")),
            Some(44 | 244) => return Err(self.foreign("H.264 High 4:4:4")),
            _ => {}
        }
        let parsed = || {
            let prefix = (config.get(4)? & 3) as usize + 1;
            let (mut parameters, mut sequences) = (Vec::new(), Vec::new());
            let mut rest = config.get(5..)?;
            for mask in [0x1f, 0xff] {
                let (count, sets) = rest.split_first()?;
                rest = sets;
                for _ in 0..count & mask {
                    let size = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                    let (set, after) = rest[2..].split_at_checked(size)?;
                    parameters.extend_from_slice(&[0, 0, 0, 1]);
                    parameters.extend_from_slice(set);
                    if mask == 0x1f {
                        sequences.push(set);
                    }
                    rest = after;
                }
            }
            Some((prefix, parameters, sequences))
        };
        let found = || format!("{} bytes", config.len());
        let (prefix, parameters, sequences) =
            parsed().ok_or_else(|| self.error("avcC", found(), "complete parameter sets"))?;
        let (mut grey, mut colour) = (false, None);
        for set in sequences {
            let found = || format!("a sequence parameter set of {} bytes", set.len());
            let set = Sps::parse(set).ok_or_else(|| self.error("avcC", found(), "one that can be read"))?;
            if let Some(found) = set.foreign() {
                return Err(self.foreign(found));
            }
            grey |= set.chroma == 0;
            colour = colour.or(set.colour);
        }
        Ok((Codec::H264(Avc { prefix, parameters, grey }), colour))
    }

    #[cfg(feature = "av1")]
    fn av1(&self, extra: &[u8]) -> Result<Codec, Error> {
        let config = self.find(extra, &["av1C"])?;
        let (Some(flags), Some(units)) = (config.get(2), config.get(4..)) else {
            return Err(self.error("av1C", format!("{} bytes", config.len()), "at least 4"));
        };
        // Bits: high depth, 12 instead of 10, no colour, chroma halved in width, in height.
        match (flags & 0x60, flags & 0x10, flags & 0x0c) {
            (0, 0, 0x0c) => Ok(Codec::Av1(units.to_vec())),
            (0x40, ..) => Err(self.foreign("AV1 of 10 bits")),
            (0x60, ..) => Err(self.foreign("AV1 of 12 bits")),
            (_, 0x10, _) => Err(self.foreign("AV1 without colour")),
            (_, _, 0x08) => Err(self.foreign("AV1 of 4:2:2")),
            _ => Err(self.foreign("AV1 of 4:4:4")),
        }
    }

    #[cfg(not(feature = "av1"))]
    fn av1(&self, _: &[u8]) -> Result<Codec, Error> {
        let mend = "build with the feature `av1`, which is on by default, or with `--features ffmpeg`, or re-encode it: \
                    `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p -g 8 -fps_mode passthrough out.mp4`";
        Err(foreign(self.file, "AV1", mend))
    }
}

/// Matrix and range in a box `colr`: in the form of mp4, or that of QuickTime, which does not tell whether the range is
/// `full`.
fn tagged(content: &[u8], full: bool) -> Option<(u16, bool)> {
    let (kind, rest) = content.split_first_chunk::<4>()?;
    let matrix = u16::from_be_bytes(*rest.get(4..)?.first_chunk()?);
    match kind {
        b"nclx" => Some((matrix, rest.get(6)? & 0x80 != 0)),
        b"nclc" => Some((matrix, full)),
        _ => None,
    }
}
