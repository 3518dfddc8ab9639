//! What can go wrong between pictures and their file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a video could not be written.
///
/// Each message names the file, what was expected, what was found and what mends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}; check that the folder exists, may be written and has room", file.display())]
    Io {
        /// The video.
        file: PathBuf,
        /// What was tried, as a verb: "open", "write".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },

    /// A video without frames.
    #[error("{}: expected at least one frame, found none; push frames before the video is finished", file.display())]
    NoFrames {
        /// The video.
        file: PathBuf,
    },

    /// Frames are smaller or larger than the encoder takes.
    #[error(
        "{}: expected frames of 16x16 up to 3840x2160 or 2160x3840 pixels for an MP4, found {width}x{height}; scale them", file.display()
    )]
    Size {
        /// The video.
        file: PathBuf,
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
    },

    /// A frame rate that no video has.
    #[error("{}: expected 0.01 to 1000 frames a second, found {found}; pass the rate at which the video plays", file.display())]
    FrameRate {
        /// The video.
        file: PathBuf,
        /// Frames a second asked for.
        found: f64,
    },

    /// Settings of the encoder that it does not have.
    #[error(
        "{}: expected a key frame every 1 or more frames and a quantizer of 12 to 51, found {key_every} and {quantizer}; \
         change these settings", file.display()
    )]
    Coding {
        /// The video.
        file: PathBuf,
        /// Frames from key frame to key frame.
        key_every: u32,
        /// Quantizer.
        quantizer: u8,
    },

    /// A frame whose bytes do not fill its sides.
    #[error("{}: frame {frame} has {found} bytes, expected {expected}, 3 a pixel; pass RGB, rows first", file.display())]
    Pixels {
        /// The video.
        file: PathBuf,
        /// The frame, counted from 0.
        frame: usize,
        /// `3 · width · height`.
        expected: usize,
        /// Bytes given.
        found: usize,
    },

    /// The H.264 encoder refused.
    #[error("{}: frame {frame} cannot be encoded as H.264: {source}", file.display())]
    H264 {
        /// The video.
        file: PathBuf,
        /// The frame, counted from 0.
        frame: usize,
        /// What the encoder said.
        source: Box<openh264::Error>,
    },

    /// The H.264 encoder left a frame out.
    #[error("{}: expected a picture for frame {frame}, found {found} from the H.264 encoder; store the frames as pictures", file.display())]
    NoPicture {
        /// The video.
        file: PathBuf,
        /// The frame, counted from 0.
        frame: usize,
        /// What the encoder calls the result.
        found: String,
    },

    /// The video does not fit in an MP4.
    #[error("{}: cannot be put into an MP4: {source}; files of 4 GiB and more are not written, split the video", file.display())]
    Mp4 {
        /// The video.
        file: PathBuf,
        /// What is in the way.
        source: mp4_atom::Error,
    },

    /// The video lacks a frame that could not be written before.
    #[error("{}: given up since frame {frame} could not be written; begin the video again", file.display())]
    GivenUp {
        /// The video.
        file: PathBuf,
        /// The frame, counted from 0.
        frame: usize,
    },
}

impl Error {
    /// Names file and action for an error of the file system.
    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { file: file.to_owned(), action, source }
    }
}
