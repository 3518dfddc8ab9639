//! The sequence parameter set of an H.264 stream: what its pictures consist of (ITU-T H.264, 7.3.2.1.1 and E.1.1).

/// Profiles whose sets tell the layout of chroma and the depth; those of all others are 4:2:0 of 8 bits.
const HIGH: [u32; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];

/// Most frames in a cycle of the order of presentation.
const CYCLE: u32 = 255;

/// What a decoder for 4:2:0 of 8 bits must know beforehand, and what it does not tell.
#[derive(Debug, PartialEq)]
pub(super) struct Sps {
    /// 0: no chroma, 1: 4:2:0, 2: 4:2:2, 3: 4:4:4.
    pub(super) chroma: u32,
    /// Bits of luma and chroma.
    pub(super) depths: [u32; 2],
    /// Matrix code and whether the range is full; `None` if the stream does not say.
    pub(super) colour: Option<(u16, bool)>,
}

impl Sps {
    /// Reads a unit without its start code; `None` if it is no such set or ends too soon. What cannot be read of the
    /// colour, which comes last, counts as not said.
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let content = unescaped(unit);
        let mut bits = Bits { bytes: &content, at: 0 };
        if bits.number(8)? & 0x1f != 7 {
            return None;
        }
        let profile = bits.number(8)?;
        // Constraints and level.
        bits.number(16)?;
        bits.golomb()?;
        let mut found = Self { chroma: 1, depths: [8; 2], colour: None };
        if HIGH.contains(&profile) {
            found.chroma = bits.golomb()?;
            if found.chroma == 3 {
                bits.flag()?;
            }
            found.depths = [8 + bits.golomb()?, 8 + bits.golomb()?];
            bits.flag()?;
            if bits.flag()? {
                bits.scaling_lists(if found.chroma == 3 { 12 } else { 8 })?;
            }
        }
        found.colour = bits.colour();
        Some(found)
    }

    /// What the pictures are if the decoder here is not for them.
    pub(super) fn foreign(&self) -> Option<String> {
        match (self.chroma, self.depths) {
            (0, [8, _]) | (1, [8, 8]) => None,
            (0 | 1, [luma, chroma]) => Some(format!("H.264 of {} bits", luma.max(chroma))),
            (2, _) => Some("H.264 of 4:2:2".into()),
            (3, _) => Some("H.264 of 4:4:4".into()),
            (other, _) => Some(format!("H.264 with chroma of kind {other}")),
        }
    }
}

/// The unit without the bytes that keep start codes out of it.
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        content.push(byte);
    }
    content
}

/// Bits from the most significant one of a byte on; every reading is `None` past the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let set = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(set)
    }

    /// A number of up to 32 bits.
    fn number(&mut self, bits: usize) -> Option<u32> {
        (0..bits).try_fold(0, |sum, _| Some(sum << 1 | u32::from(self.flag()?)))
    }

    /// `ue(v)`: as many zeros as bits follow the first 1. At most 2^24, far more than anything that is read here.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 23 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// `se(v)`: 1, -1, 2, -2...
    fn signed(&mut self) -> Option<i32> {
        let code = self.golomb()?.cast_signed();
        Some(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }

    /// Steps over `count` lists, the first six of 16 numbers and the others of 64.
    fn scaling_lists(&mut self, count: usize) -> Option<()> {
        for list in 0..count {
            if !self.flag()? {
                continue;
            }
            // Once a scale is 0, the rest of the list repeats the last one and is not stored.
            let mut scale = 8;
            for _ in 0..if list < 6 { 16 } else { 64 } {
                scale = (scale + self.signed()?).rem_euclid(256);
                if scale == 0 {
                    break;
                }
            }
        }
        Some(())
    }

    /// From the length of frame numbers on: the colour, which only the part about usability holds.
    fn colour(&mut self) -> Option<(u16, bool)> {
        self.golomb()?;
        match self.golomb()? {
            0 => drop(self.golomb()?),
            1 => {
                self.flag()?;
                self.golomb()?;
                self.golomb()?;
                let cycle = self.golomb().filter(|&cycle| cycle <= CYCLE)?;
                (0..cycle).try_for_each(|_| self.golomb().map(drop))?;
            }
            _ => {}
        }
        self.golomb()?;
        self.flag()?;
        self.golomb()?;
        self.golomb()?;
        let frames_only = self.flag()?;
        if !frames_only {
            self.flag()?;
        }
        self.flag()?;
        let cropped = self.flag()?;
        if cropped {
            (0..4).try_for_each(|_| self.golomb().map(drop))?;
        }
        let usability = self.flag()?;
        if !usability {
            return None;
        }
        // The shape of a pixel; 255 is followed by width and height.
        if self.flag()? && self.number(8)? == 255 {
            self.number(32)?;
        }
        // Whether the edges may be cut off.
        if self.flag()? {
            self.flag()?;
        }
        let described = self.flag()?;
        if !described {
            return None;
        }
        self.number(3)?;
        let full = self.flag()?;
        // Primaries and transfer come before the matrix; 2 is the code for an unknown one.
        let matrix = if self.flag()? { self.number(24)? & 0xff } else { 2 };
        Some((matrix as u16, full))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Sps, unescaped};

    /// The first sequence parameter set in the `avcC` of a test video.
    fn set(name: &str) -> Vec<u8> {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let bytes = std::fs::read(data.join(name)).unwrap();
        let at = bytes.windows(4).position(|window| window == b"avcC").unwrap() + 10;
        let size = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        bytes[at + 2..][..size].to_vec()
    }

    /// A set whose bits, written as text, follow the level.
    fn high(profile: u8, bits: &str) -> Vec<u8> {
        let mut unit = vec![0x67, profile, 0, 10];
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let byte = |bits: &[u8]| (0..8).fold(0, |sum, at| sum << 1 | bits.get(at).unwrap_or(&0));
        unit.extend(bits.chunks(8).map(byte));
        unit
    }

    /// As `ffmpeg -bsf:v trace_headers` prints them.
    #[test]
    fn fields_are_those_that_ffmpeg_finds() {
        let expected = |chroma, colour| Some(Sps { chroma, depths: [8; 2], colour });
        assert_eq!(Sps::parse(&set("h264_grey.mp4")), expected(0, Some((2, true))));
        assert_eq!(Sps::parse(&set("h264_full_range.mp4")), expected(1, Some((1, true))));
        assert_eq!(Sps::parse(&set("h264_pyramid.mp4")), expected(1, None));
    }

    #[test]
    fn other_layouts_and_depths_are_named() {
        // Number of the set, layout of chroma, depths.
        let cases = [
            ("1 011 1 1 0 0", "H.264 of 4:2:2"),
            ("1 00100 0 1 1 0 0", "H.264 of 4:4:4"),
            ("1 010 011 011 0 0", "H.264 of 10 bits"),
            ("1 1 00101 1 0 0", "H.264 of 12 bits"),
            ("1 00101 1 1 0 0", "H.264 with chroma of kind 4"),
        ];
        for (bits, expected) in cases {
            assert_eq!(Sps::parse(&high(100, bits)).unwrap().foreign().as_deref(), Some(expected));
        }
        assert_eq!(Sps::parse(&high(100, "1 1 1 1 0 0")).unwrap().foreign(), None);
        // Other profiles do not tell.
        assert_eq!(Sps::parse(&high(66, "1 011 1 1 0 0")).unwrap().foreign(), None);
    }

    #[test]
    fn scaling_lists_are_stepped_over() {
        // The first list is 8, then 8 - 8 = 0, which ends it; the other seven are not there.
        let lists = "1 1 1 000010001 0000000";
        let after = "1 1 1 010 0 1 1 1 1 0 1 0 0 1 101 1 1 00000001 00000001 00001001";
        let found = Sps::parse(&high(100, &format!("1 010 1 1 0 {lists} {after}"))).unwrap();
        assert_eq!(found, Sps { chroma: 1, depths: [8; 2], colour: Some((9, true)) });
    }

    #[test]
    fn cut_sets_end_in_nothing_or_without_their_colour() {
        for name in ["h264_grey.mp4", "h264_full_range.mp4", "h264_pyramid.mp4"] {
            let whole = set(name);
            let sound = Sps::parse(&whole).unwrap();
            for end in 0..whole.len() {
                if let Some(found) = Sps::parse(&whole[..end]) {
                    assert_eq!((found.chroma, found.depths), (sound.chroma, sound.depths));
                }
            }
            assert_eq!(Sps::parse(&whole[..4]), None);
        }
        assert_eq!(Sps::parse(&high(100, &"0".repeat(400))), None);
        assert_eq!(Sps::parse(&[0x68, 100, 0, 10, 0xff, 0xff]), None);
    }

    #[test]
    fn numbers_are_those_of_the_standard() {
        assert_eq!(unescaped(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits { bytes: &bytes, at: 0 };
        let found: Vec<Option<u32>> = (0..5).map(|_| bits.golomb()).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        let mut bits = Bits { bytes: &bytes, at: 0 };
        let found: Vec<Option<i32>> = (0..5).map(|_| bits.signed()).collect();
        assert_eq!(found, [Some(0), Some(1), Some(-1), Some(2), Some(-2)]);
    }
}
