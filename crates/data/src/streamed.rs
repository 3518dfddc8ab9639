//! Clips that are decoded when they are asked for.

use std::sync::Arc;

use crate::dataset::Stretch;
use crate::runs::Run;
use crate::windows::Windows;
use crate::{Clip, ClipOptions, ClipSource, Dataset, Error, Frames, View};

/// All windows of a data set's runs, read from its files clip by clip.
///
/// The same clips as [`EpisodeClips`](crate::EpisodeClips) holds in memory, for data sets that do not fit. Times and actions
/// are in memory; pictures are not.
#[derive(Clone)]
pub struct StreamedClips {
    dataset: Arc<dyn Dataset>,
    camera: String,
    view: View,
    windows: Windows,
}

impl StreamedClips {
    /// Clips of these runs.
    ///
    /// # Errors
    /// As [`EpisodeClips::load`](crate::EpisodeClips::load), except for pictures, which show only when a clip is read.
    pub fn new(dataset: Arc<dyn Dataset>, runs: &[Run], options: &ClipOptions) -> Result<Self, Error> {
        let found = dataset.camera(options.camera.as_deref())?;
        let (camera, view) = (found.key.clone(), options.view(found.size)?);
        let windows = Windows::new(&*dataset, runs, options)?;
        Ok(Self { dataset, camera, view, windows })
    }

    /// Clips of another length of the same runs.
    ///
    /// # Errors
    /// No frames, or more than the longest run has.
    pub fn with_frames(&self, frames: usize) -> Result<Self, Error> {
        Ok(Self { windows: self.windows.with_frames(frames)?, ..self.clone() })
    }
}

impl ClipSource for StreamedClips {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.windows.frames()
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        let (run, start) = self.windows.locate(index)?;
        let places = self.windows.places(run, start, self.windows.frames())?;
        let (Run { episode, frames }, _) = self.windows.run(run)?;
        // A frame that is shown for long may be wanted more than once, and is read once.
        let mut distinct: Vec<usize> = places.iter().map(|place| frames.start + place).collect();
        distinct.dedup();
        let stretch = Stretch { episode: *episode, frames: distinct };
        let read = self.dataset.read(&self.camera, &stretch, &self.view)?;
        let mut rgb = Vec::with_capacity(places.len() * self.view.height * self.view.width * 3);
        for place in &places {
            let at = stretch.frames.partition_point(|frame| *frame < frames.start + place);
            rgb.extend_from_slice(read.frame(at));
        }
        self.windows.clip(run, &places, Frames { count: places.len(), rgb, ..read })
    }
}
