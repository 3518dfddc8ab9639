//! What can go wrong between a run and its pictures and logs.

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be drawn, written or read.
///
/// Each message names the file or the thing, what was expected, what was found and what mends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{}: cannot {action}: {source}; check that the folder exists, may be written and has room", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was tried, as a verb: "open", "append".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },

    /// An image whose bytes do not fill its sides.
    #[error(
        "an image of {width}x{height} needs {expected} bytes of RGB, found {found}; pass 3 bytes a pixel, rows first"
    )]
    Pixels {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// `3 · width · height`.
        expected: usize,
        /// Bytes given.
        found: usize,
    },

    /// There is nothing to draw.
    #[error(
        "{what}: nothing to draw, expected at least one frame with pixels; leave the picture out when there are none"
    )]
    NoFrames {
        /// What was asked for: a strip, a GIF.
        what: &'static str,
    },

    /// A frame with other sides than the first.
    #[error(
        "{place}: expected a frame of {expected:?} (width, height) like the first, found {found:?}; resize the frames first"
    )]
    FrameSize {
        /// Row and number of the frame.
        place: String,
        /// Width and height of the first frame.
        expected: (usize, usize),
        /// Width and height of this one.
        found: (usize, usize),
    },

    /// The PNG encoder refused.
    #[error("an image of {width}x{height} cannot be a PNG: {source}; a PNG needs sides from 1 to 2^31 - 1")]
    Png {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// What the encoder said.
        source: png::EncodingError,
    },

    /// A frame is larger than a GIF can say.
    #[error("{}: a GIF's sides fit in 16 bits, found frames of {width}x{height}; scale them down", file.display())]
    GifSize {
        /// The GIF.
        file: PathBuf,
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
    },

    /// The GIF encoder refused.
    #[error("{}: cannot be encoded as a GIF: {source}", file.display())]
    Gif {
        /// The GIF.
        file: PathBuf,
        /// What the encoder said.
        source: gif::EncodingError,
    },

    /// An MP4 could not be written.
    #[error(transparent)]
    Mp4(#[from] cola_mp4::Error),

    /// A whole line of a log is not a JSON object.
    #[error("{}:{line}: expected one JSON object on the line: {source}; remove or mend this line", file.display())]
    JsonLine {
        /// The log.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },

    /// A record cannot be one JSON object.
    #[error("{}: a record must serialize to one JSON object: {source}; pass a struct or a map with text keys", file.display())]
    Record {
        /// The log.
        file: PathBuf,
        /// What the serializer said.
        source: serde_json::Error,
    },

    /// A row of a table with more or fewer cells than its header.
    #[error(
        "a table with {expected} columns got a row of {found} cells: {row:?}; give one cell a column, empty ones too"
    )]
    Row {
        /// Columns of the header.
        expected: usize,
        /// Cells of the row.
        found: usize,
        /// The row.
        row: Vec<String>,
    },
}

impl Error {
    /// Names file and action for an error of the file system.
    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { file: file.to_owned(), action, source }
    }
}
