//! One episode's stretch of a video file, read when it is asked for.

use std::ops::Range;

use crate::{Episode, Error, Frames, LeRobot, VideoFile, View};

/// The pictures of one camera during one episode of a dataset.
///
/// Where [`EpisodeClips`](crate::EpisodeClips) decodes a whole split and holds it, this opens one video and decodes what
/// [`read`](Self::read) asks for: an episode that is damaged spoils no other.
pub struct EpisodeVideo {
    video: VideoFile,
    /// Frame of the video for each frame of the episode, ascending.
    numbers: Vec<usize>,
}

impl EpisodeVideo {
    /// Finds the episode's frames by their time.
    ///
    /// # Errors
    /// Files that are missing, damaged, not H.264 or contradict the metadata, a camera that the episode does not have.
    pub fn open(dataset: &LeRobot, camera: &str, episode: &Episode) -> Result<Self, Error> {
        let camera = dataset.camera(Some(camera))?;
        let Some(span) = episode.videos.get(camera) else {
            return Err(Error::setting("camera", camera, "a camera of the episode"));
        };
        let video = VideoFile::open(&dataset.video_file(camera, span.part)?)?;
        // Times in the rows are 32-bit and writers add up rounded durations; a tenth of a frame still leaves no doubt.
        let tolerance = (0.1 / dataset.info().fps).max(1e-4);
        let mut numbers: Vec<usize> = Vec::with_capacity(episode.frames());
        for (frame, time) in dataset.rows(std::slice::from_ref(episode))?.times.iter().enumerate() {
            let expected = span.from + time;
            let number = video.nearest(expected);
            let found = video.times()[number];
            let close = (found - expected).abs() <= tolerance; // not so for NaN
            let next = numbers.last().is_none_or(|last| *last < number);
            if !close || !next {
                return Err(Error::FrameTime {
                    file: video.path().to_owned(),
                    episode: episode.index,
                    frame,
                    found: Some(found),
                    expected,
                    tolerance,
                });
            }
            numbers.push(number);
        }
        Ok(Self { video, numbers })
    }

    /// Frames of the episode.
    pub fn frames(&self) -> usize {
        self.numbers.len()
    }

    /// Rows and pixels in a row of a frame.
    pub fn sides(&self) -> (usize, usize) {
        (self.video.height(), self.video.width())
    }

    /// Some frames of the episode, cut and resized.
    ///
    /// # Errors
    /// A range that is empty or beyond the end, as [`VideoFile::read`].
    pub fn read(&self, frames: Range<usize>, view: &View) -> Result<Frames, Error> {
        let numbers = self.numbers.get(frames.clone()).filter(|numbers| !numbers.is_empty());
        let Some(numbers) = numbers else {
            let expected = format!("some of {} frames", self.frames());
            return Err(Error::setting("frames", format!("{frames:?}"), expected));
        };
        let mut read = Frames { count: 0, height: view.height, width: view.width, rgb: Vec::new() };
        self.video.read(numbers.iter().copied(), view, numbers.len(), |_, frames| -> Result<(), Error> {
            read = frames;
            Ok(())
        })?;
        Ok(read)
    }
}
