//! Videos that only FFmpeg can read, through its programs `ffprobe` and `ffmpeg` (5.1 or newer).
//!
//! They run as child processes and are not linked: no headers to install, no `unsafe`, no bond to one version of the
//! libraries, and a crash on a damaged file ends the child alone. Nothing passes through a shell. The environment
//! variable `COLA_FFMPEG` may name the program; `ffprobe` is looked for beside it.

mod child;
mod probe;

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::decoder::Stop;
use child::Child;
use probe::Probe;

/// A video file that `ffprobe` has described.
pub(crate) struct Film {
    file: PathBuf,
    size: (usize, usize),
    /// Time of each picture in decoding order, seconds since the earliest, and whether decoding can start there.
    samples: Vec<(f64, bool)>,
    /// The file's own time of every picture, ascending, seconds.
    shown: Vec<f64>,
}

impl Film {
    /// Asks `ffprobe` for the pictures of `file`.
    pub(crate) fn open(file: &Path) -> Result<Self, Error> {
        let Probe { size, pictures } = Probe::run(file)?;
        let mut shown: Vec<f64> = pictures.iter().map(|(time, _)| *time).collect();
        shown.sort_by(f64::total_cmp);
        let first = shown.first().copied().unwrap_or(0.0);
        let samples = pictures.into_iter().map(|(time, key)| (time - first, key)).collect();
        Ok(Self { file: file.to_owned(), size, samples, shown })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Height and width, pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Time of each picture in decoding order, seconds since the earliest, and whether decoding can start there.
    pub(crate) fn samples(&self) -> &[(f64, bool)] {
        &self.samples
    }

    /// Hands the pictures `range`, the first of which is a key frame, to `each`: `(height, width, 3)`.
    pub(crate) fn decode(
        &self,
        range: Range<usize>,
        each: &mut dyn FnMut(Vec<u8>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        // Sides of at most 16384: checked when the video was opened.
        let (height, width) = self.size;
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["-nostdin", "-v", "error", "-noautorotate"]);
        if range.start > 0 {
            // From the middle between two pictures on: no rounding of times can take the one before or leave out this.
            let from = (self.shown[range.start - 1] + self.shown[range.start]) / 2.0;
            add(&["-seek_timestamp", "1", "-ss", &format!("{from:.6}")]);
        }
        // A file may name others inside; none of them may be an address.
        add(&["-protocol_whitelist", "file", "-i"]);
        arguments.push(child::input(&self.file));
        let (count, frame) = (range.len().to_string(), format!("{width}x{height}"));
        arguments.extend(
            ["-map", "0:v:0", "-fps_mode", "passthrough", "-frames:v", &count, "-s", &frame]
                .into_iter()
                .chain(["-pix_fmt", "rgb24", "-sws_flags", "bitexact+accurate_rnd", "-f", "rawvideo", "-"])
                .map(OsString::from),
        );
        let mut child =
            Child::start(&self.file, "ffmpeg", &arguments, child::Chunks::Bytes(height * width * 3))?;
        for _ in range {
            match child.next()? {
                Some(picture) => each(picture)?,
                // It ended well but early; the caller counts the pictures.
                None => return Ok(()),
            }
        }
        Ok(())
    }
}
