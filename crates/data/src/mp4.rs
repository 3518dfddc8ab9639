//! The video track of an mp4 file: its codec, where each sample lies and when it is shown.
//!
//! Only the sample tables are read into memory, never the pictures. Every count is checked against the box that holds
//! it before anything is allocated, so a damaged file is an error and nothing else.

mod description;
mod sps;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::planes::Colour;
use crate::{Error, regular};
use description::Description;
pub(crate) use description::{Avc, Codec};

const MEND: &str = "the file is damaged or incomplete, copy it again from its source";
/// For files without an index.
const MEND_MOVIE: &str = "not a complete mp4 or mov file: copy it again from its source";
/// For what only the program `ffmpeg` can read, as it is.
const MEND_FOREIGN: &str = "build with `--features ffmpeg`, which reads it through the program `ffmpeg`, or re-encode it: \
                            `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p -g 8 -fps_mode passthrough out.mp4`";
const MEND_PACKING: &str = "build with `--features ffmpeg`, which reads it through the program `ffmpeg`, or repack it in \
                            one piece with `ffmpeg -i in.mkv -c copy out.mp4`";

/// Samples of one size have no table that bounds their number; this is six days at 30 a second.
const MOST_SAMPLES: u64 = 1 << 24;

/// The first video track.
pub(crate) struct Track {
    pub(crate) file: PathBuf,
    /// Height and width that the file's header claims, pixels.
    pub(crate) size: (usize, usize),
    pub(crate) codec: Codec,
    /// Colour that the container names.
    pub(crate) colour: Colour,
    /// In decoding order; at least one.
    pub(crate) samples: Vec<Sample>,
}

/// One coded picture.
pub(crate) struct Sample {
    /// First byte in the file; `offset + size` lies within the file.
    pub(crate) offset: u64,
    pub(crate) size: usize,
    /// Presentation time in seconds; the earliest of a file is 0.
    pub(crate) time: f64,
    /// Whether decoding can start here.
    pub(crate) key: bool,
}

impl Track {
    /// Reads the tables of `file`.
    pub(crate) fn open(file: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { file: file.to_owned(), source };
        if !file.is_file() {
            let mend = "the data set is incomplete, copy its videos folder again";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "the episode's video", mend });
        }
        let mut handle = regular::open(file).map_err(read)?;
        let length = handle.metadata().map_err(read)?.len();
        let index = boxed(&mut handle, length, b"moov").map_err(read)?;
        let Some((start, size)) = index else {
            return Err(no_index(file, &mut handle, length).unwrap_or_else(read));
        };
        // At most the file's own length.
        let mut movie = vec![0; size];
        handle.seek(SeekFrom::Start(start)).and_then(|_| handle.read_exact(&mut movie)).map_err(read)?;
        let track = Tables { file, length }.track(&movie);
        // A fragmented file has its tables scattered; the index holds those of its first part, or none.
        let fragmented = boxes(&movie).any(|(name, _)| name == b"mvex")
            && (track.is_err() || boxed(&mut handle, length, b"moof").map_err(read)?.is_some());
        if fragmented { Err(foreign(file, "a fragmented mp4 file", MEND_PACKING)) } else { track }
    }
}

/// A video that is sound, but not for the decoders here.
fn foreign(file: &Path, found: impl ToString, mend: &'static str) -> Error {
    Error::Codec { file: file.to_owned(), found: found.to_string(), mend }
}

/// Start and size of the content of the file's first box `name`.
fn boxed(handle: &mut File, length: u64, name: &[u8; 4]) -> std::io::Result<Option<(u64, usize)>> {
    let mut at = 0;
    while length - at >= 8 {
        let mut header = [0; 16];
        let known = (length - at).min(16) as usize;
        handle.seek(SeekFrom::Start(at))?;
        handle.read_exact(&mut header[..known])?;
        let number =
            |range: std::ops::Range<usize>| header[range].iter().fold(0, |sum, &b| sum << 8 | u64::from(b));
        let (start, size) = match number(0..4) {
            0 => (8, length - at),
            1 => (16, number(8..16)),
            size => (8, size),
        };
        if size < start || size > length - at {
            break;
        }
        if &header[4..8] == name {
            return Ok(Some((at + start, (size - start) as usize)));
        }
        at += size;
    }
    Ok(None)
}

/// What to say about a file without an index: another container, or a damaged file.
fn no_index(file: &Path, handle: &mut File, length: u64) -> std::io::Result<Error> {
    let mut start = Vec::new();
    handle.rewind()?;
    handle.take(12).read_to_end(&mut start)?;
    let container = match start.as_slice() {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("a Matroska or WebM file"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' '] => Some("an AVI file"),
        _ => None,
    };
    Ok(match container {
        Some(found) => foreign(file, found, MEND_PACKING),
        None => Error::Field {
            file: file.to_owned(),
            field: "mp4 box `moov`".into(),
            found: format!("none in {length} bytes"),
            expected: "the index of the video".into(),
            mend: MEND_MOVIE,
        },
    })
}

/// Boxes inside `content`: name and content; stops at the first one that does not fit.
fn boxes(mut content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let size = u32::from_be_bytes(*content.first_chunk()?) as usize;
        let (found, rest) = content.split_at_checked(size)?;
        content = rest;
        Some((found.get(4..8)?, &found[8..]))
    })
}

/// Reads the tables of one file.
struct Tables<'a> {
    file: &'a Path,
    /// Bytes of the file.
    length: u64,
}

impl Tables<'_> {
    fn error(&self, name: &str, found: impl ToString, expected: impl ToString) -> Error {
        let (found, expected) = (found.to_string(), expected.to_string());
        let (file, field) = (self.file.to_owned(), format!("mp4 box `{name}`"));
        Error::Field { file, field, found, expected, mend: MEND }
    }

    /// The box at the end of `path`.
    fn find<'a>(&self, mut content: &'a [u8], path: &[&str]) -> Result<&'a [u8], Error> {
        for name in path {
            let found = boxes(content).find(|(kind, _)| *kind == name.as_bytes());
            content = found.ok_or_else(|| self.error(name, "none", "one"))?.1;
        }
        Ok(content)
    }

    /// Rows of `N` numbers after the row count at byte `at`.
    fn table<const N: usize>(&self, content: &[u8], name: &str, at: usize) -> Result<Vec<[u32; N]>, Error> {
        let short = || self.error(name, format!("{} bytes", content.len()), "a row count and that many rows");
        let count = content.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        let bytes = (u32::from_be_bytes(*count) as usize).checked_mul(4 * N).ok_or_else(short)?;
        let rows = content[at + 4..].get(..bytes).ok_or_else(short)?;
        let (numbers, _) = rows.as_chunks::<4>();
        let row = |row: &[[u8; 4]]| std::array::from_fn(|column| u32::from_be_bytes(row[column]));
        Ok(numbers.chunks_exact(N).map(row).collect())
    }

    fn track(&self, movie: &[u8]) -> Result<Track, Error> {
        let video = boxes(movie).find_map(|(kind, content)| {
            let media = boxes(content).find(|(name, _)| *name == b"mdia").filter(|_| kind == b"trak")?.1;
            let handler = boxes(media).find(|(name, _)| *name == b"hdlr")?.1;
            (handler.get(8..12)? == b"vide").then_some(media)
        });
        let media = video.ok_or_else(|| self.error("trak", "no video track", "one"))?;
        let tables = self.find(media, &["minf", "stbl"])?;
        let Description { size, codec, colour } = self.description(self.find(tables, &["stsd"])?)?;
        let mut samples = self.places(tables)?;
        self.times(self.find(media, &["mdhd"])?, tables, &mut samples)?;

        if let Ok(content) = self.find(tables, &["stss"]) {
            samples.iter_mut().for_each(|sample| sample.key = false);
            for [number] in self.table(content, "stss", 4)? {
                let sample = samples.get_mut((number as usize).wrapping_sub(1));
                sample.ok_or_else(|| self.error("stss", number, "a sample's number"))?.key = true;
            }
        }
        if !samples[0].key {
            return Err(self.error("stss", "a first sample that needs earlier ones", "a key frame"));
        }
        if !codec.reorders() && !samples.is_sorted_by(|a, b| a.time <= b.time) {
            return Err(self.error(
                "ctts",
                "samples that are shown in another order",
                "the order of decoding",
            ));
        }
        Ok(Track { file: self.file.to_owned(), size, codec, colour, samples })
    }

    /// Samples with place and size; every one is a key frame, at time 0.
    fn places(&self, tables: &[u8]) -> Result<Vec<Sample>, Error> {
        let sizes = self.find(tables, &["stsz"])?;
        let sizes = match sizes.get(4..12).and_then(|start| start.split_first_chunk::<4>()) {
            // One size for all samples, as a video of a single picture has it.
            Some((size, count)) if *size != [0; 4] => {
                let size = u32::from_be_bytes(*size);
                let count = count.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
                if count > MOST_SAMPLES || count * u64::from(size) > self.length {
                    let found = format!("{count} samples of {size} bytes");
                    return Err(self.error(
                        "stsz",
                        found,
                        format!("samples within the file's {} bytes", self.length),
                    ));
                }
                vec![[size]; count as usize]
            }
            _ => self.table::<1>(sizes, "stsz", 8)?,
        };
        let runs = self.table::<3>(self.find(tables, &["stsc"])?, "stsc", 4)?;
        let chunks: Vec<u64> = match self.find(tables, &["stco"]) {
            Ok(content) => self.table(content, "stco", 4)?.into_iter().map(|[at]| u64::from(at)).collect(),
            Err(_) => {
                let wide = self.table(self.find(tables, &["co64"])?, "co64", 4)?;
                wide.into_iter().map(|[high, low]| u64::from(high) << 32 | u64::from(low)).collect()
            }
        };

        let mut samples = Vec::with_capacity(sizes.len());
        let mut remaining = sizes.iter();
        let mut run = 0;
        for (chunk, mut offset) in chunks.into_iter().enumerate() {
            while runs.get(run + 1).is_some_and(|[first, ..]| *first as usize <= chunk + 1) {
                run += 1;
            }
            let [_, in_chunk, _] = *runs.get(run).ok_or_else(|| self.error("stsc", "no run", "one"))?;
            for &[size] in remaining.by_ref().take(in_chunk as usize) {
                let end = offset.checked_add(u64::from(size)).filter(|end| *end <= self.length);
                let end = end.ok_or_else(|| {
                    let found = format!("sample {} at byte {offset}, {size} bytes", samples.len());
                    self.error("stsz", found, format!("samples within the file's {} bytes", self.length))
                })?;
                samples.push(Sample { offset, size: size as usize, time: 0.0, key: true });
                offset = end;
            }
        }
        if samples.is_empty() || samples.len() < sizes.len() {
            let found = format!("places for {} samples", samples.len());
            return Err(self.error("stsc", found, format!("{}, and at least 1", sizes.len())));
        }
        Ok(samples)
    }

    /// Fills in the presentation times.
    fn times(&self, header: &[u8], tables: &[u8], samples: &mut [Sample]) -> Result<(), Error> {
        // Version 1 has 64-bit dates before the scale.
        let at = if header.first() == Some(&1) { 20 } else { 12 };
        let scale = header
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |scale| u32::from_be_bytes(*scale));
        if scale == 0 {
            return Err(self.error("mdhd", "no time scale", "ticks per second"));
        }
        // Runs of equal values, as an endless-safe iterator over single samples.
        let values = |rows: Vec<[u32; 2]>| {
            rows.into_iter().flat_map(|[count, value]| std::iter::repeat_n(value, count as usize))
        };
        let mut steps = values(self.table(self.find(tables, &["stts"])?, "stts", 4)?);
        let mut delays = match self.find(tables, &["ctts"]) {
            Ok(content) => Some(values(self.table(content, "ctts", 4)?)),
            Err(_) => None,
        };
        let mut clock = 0i64;
        let mut ticks = Vec::with_capacity(samples.len());
        for sample in 0..samples.len() {
            let short = |name| self.error(name, format!("times for {sample} samples"), samples.len());
            // Delays are signed in version 1 and small in version 0, so one reading serves both.
            let delay = match &mut delays {
                Some(delays) => delays.next().ok_or_else(|| short("ctts"))?.cast_signed(),
                None => 0,
            };
            ticks.push(clock + i64::from(delay));
            clock += i64::from(steps.next().ok_or_else(|| short("stts"))?);
        }
        let first = ticks.iter().min().copied().unwrap_or(0);
        for (sample, tick) in samples.iter_mut().zip(ticks) {
            sample.time = (tick - first) as f64 / f64::from(scale);
        }
        Ok(())
    }
}
