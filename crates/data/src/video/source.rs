//! Where a video's pictures come from: a track decoded here, or the program `ffmpeg`.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::Keep;
use crate::decoder::{self, Stop};
#[cfg(feature = "ffmpeg")]
use crate::ffmpeg::Film;
use crate::mp4::{Sample, Track};
use crate::{Error, regular};

/// A file whose tables have been read.
pub(super) enum Source {
    Track(Track),
    #[cfg(feature = "ffmpeg")]
    Program(Film),
}

impl Source {
    /// Reads the tables of `file`.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        match Track::open(file) {
            #[cfg(feature = "ffmpeg")]
            Err(Error::Codec { .. }) => Film::open(file).map(Self::Program),
            track => track.map(Self::Track),
        }
    }

    pub(super) fn file(&self) -> &Path {
        match self {
            Self::Track(track) => &track.file,
            #[cfg(feature = "ffmpeg")]
            Self::Program(film) => film.file(),
        }
    }

    /// Height and width that the file's header claims.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Track(track) => track.size,
            #[cfg(feature = "ffmpeg")]
            Self::Program(film) => film.size(),
        }
    }

    /// Time of each sample in decoding order, and whether it is a key frame.
    pub(super) fn samples(&self) -> Vec<(f64, bool)> {
        match self {
            Self::Track(track) => track.samples.iter().map(|sample| (sample.time, sample.key)).collect(),
            #[cfg(feature = "ffmpeg")]
            Self::Program(film) => film.samples().to_vec(),
        }
    }

    /// Frames that one decoder handles before the next takes over. Key frames may come every other frame; a decoder
    /// for each would cost more than the decoding, and a program for each far more.
    pub(super) fn job(&self) -> usize {
        match self {
            Self::Track(_) => 64,
            #[cfg(feature = "ffmpeg")]
            Self::Program(_) => 1024,
        }
    }

    /// Decodes samples `range` from its key frame on and hands the pictures to `keep`, in the order of presentation.
    pub(super) fn decode(&self, range: Range<usize>, keep: &mut Keep<'_>) -> Result<(), Stop> {
        match self {
            Self::Track(track) => decode(track, range, keep),
            #[cfg(feature = "ffmpeg")]
            Self::Program(film) => film.decode(range, &mut |rgb| keep.rgb(film.size(), rgb)),
        }
    }
}

fn decode(track: &Track, range: Range<usize>, keep: &mut Keep<'_>) -> Result<(), Stop> {
    let unreadable = |source| Error::Read { file: track.file.clone(), source };
    let mut file = regular::open(&track.file).map_err(unreadable)?;
    let mut decoder = decoder::start(track, range.start)?;
    for number in range.clone() {
        let Sample { offset, size, .. } = track.samples[number];
        let mut sample = vec![0; size];
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        file.read_exact(&mut sample).map_err(unreadable)?;
        decoder.push(number, sample, &mut |planes| keep.planes(planes))?;
    }
    decoder.finish(range.end - 1, &mut |planes| keep.planes(planes))
}
