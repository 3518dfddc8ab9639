//! Pictures as H.264 videos in MP4 files, written frame by frame.
//!
//! ```
//! use cola_mp4::{VideoOptions, VideoWriter};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("film.mp4");
//! let mut video = VideoWriter::create(&path, &VideoOptions::new(64, 48, 10.0))?;
//! for time in 0..20 {
//!     let picture = vec![10 * time; 64 * 48 * 3];
//!     video.push(&picture)?;
//! }
//! assert_eq!(video.frames(), 20);
//! video.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`VideoWriter`] encodes each frame as it comes and keeps only its place in the file, five bytes, so a video may be as
//! long as the format allows. What it writes plays everywhere: constant frame rate, no B frames, the index first, so that
//! a browser shows the video while it loads. The same frames give the same bytes.
//!
//! Who shows clips to people uses `cola_report::save_mp4`, and who writes data sets `cola_data::LeRobotWriter`; both
//! stand on this crate. It reads no video: that is for `cola_data`.

mod encoder;
mod error;
mod index;
mod options;
mod writer;

pub use error::Error;
pub use options::VideoOptions;
pub use writer::VideoWriter;
