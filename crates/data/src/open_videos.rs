//! The video files used last, opened once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::video::Video;

/// Video files whose tables are kept. A table has some 50 bytes for each picture.
pub(crate) const OPEN_VIDEOS: usize = 64;

/// Tables of the video files used last, the newest at the end.
#[derive(Default)]
pub(crate) struct OpenVideos(Mutex<Vec<Arc<Video>>>);

impl OpenVideos {
    /// The tables of `file`, kept or from `open`.
    ///
    /// Two threads may open the same file at once; that costs less than to let all wait for one.
    pub(crate) fn get(
        &self,
        file: &Path,
        open: impl FnOnce() -> Result<Video, Error>,
    ) -> Result<Arc<Video>, Error> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut videos = lock();
        if let Some(place) = videos.iter().position(|video| video.file() == file) {
            let video = videos.remove(place);
            videos.push(video.clone());
            return Ok(video);
        }
        drop(videos);
        let video = Arc::new(open()?);
        let mut videos = lock();
        if videos.len() >= OPEN_VIDEOS {
            videos.remove(0);
        }
        videos.push(video.clone());
        Ok(video)
    }
}
