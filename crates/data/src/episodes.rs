//! The episodes of one split, decoded once and cut into clips.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crop::Region;
use crate::dataset::{Rows, Stretch};
use crate::runs::Run;
use crate::windows::Windows;
use crate::{Clip, ClipSource, Dataset, Error, Frames, View};

/// Which clips are made of a split, and how small its frames are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipOptions {
    /// Key of the video feature; `None` takes the only one, or the alphabetically first.
    pub camera: Option<String>,
    /// Frames in a clip, `T`.
    pub frames: usize,
    /// Step between two frames of a clip, in frames of the video.
    pub frame_stride: usize,
    /// Frames of a clip per second, instead of a step: the nearest stored frames are taken. Where actions are stored the
    /// step has to be whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// View cut out of every frame.
    pub region: Region,
    /// Longest side kept, pixels: a longer side of the region is reduced to it (antialiased), each side on its own.
    pub store: usize,
}

impl ClipOptions {
    /// What is kept of pictures of this height and width, or of pictures of many sizes.
    ///
    /// # Errors
    /// A region that leaves the picture, a side of 0.
    pub fn view(&self, size: Option<(usize, usize)>) -> Result<View, Error> {
        if self.store == 0 {
            return Err(Error::setting("store", 0, "at least 1 pixel"));
        }
        let (height, width) = match size {
            Some((height, width)) => {
                let crop = self.region.pixels(height, width)?;
                ((crop.height as usize).min(self.store), (crop.width as usize).min(self.store))
            }
            None => (self.store, self.store),
        };
        Ok(View { region: self.region, height, width })
    }
}

/// All windows of `frames` frames of a data set's runs; windows start at every frame.
///
/// The pictures are in memory, `frames x height x width x 3` bytes. Copies and [`with_frames`](Self::with_frames) share
/// them. Runs shorter than a clip give no clips.
#[derive(Clone)]
pub struct EpisodeClips {
    decoded: Arc<Decoded>,
    windows: Windows,
}

/// The pictures of all runs.
struct Decoded {
    height: usize,
    width: usize,
    /// One picture a frame, `(height, width, 3)`.
    pictures: Vec<Box<[u8]>>,
    /// Where each run starts.
    starts: Vec<usize>,
}

impl EpisodeClips {
    /// Decodes these runs, for example [whole episodes](Run::whole) of a [split](Dataset::split).
    ///
    /// `progress` hears how many frames are decoded, of how many.
    ///
    /// # Errors
    /// Options that make no sense, a camera or an episode that is not there, files that are missing, damaged or
    /// contradict the metadata, runs that are all shorter than a clip.
    pub fn load(
        dataset: &dyn Dataset,
        runs: &[Run],
        options: &ClipOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let camera = dataset.camera(options.camera.as_deref())?;
        let view = options.view(camera.size)?;
        // Before the decoding, which takes long.
        let windows = Windows::new(dataset, runs, options)?;

        let mut starts = Vec::with_capacity(runs.len());
        let mut all = 0;
        for run in runs {
            starts.push(all);
            all += run.frames.len();
        }
        let stretches: Vec<Stretch> = runs
            .iter()
            .map(|run| Stretch { episode: run.episode, frames: run.frames.clone().collect() })
            .collect();
        let mut pictures = vec![Box::default(); all];
        let mut done = 0;
        progress(done, all);
        dataset.read_many(&camera.key, &stretches, &view, &mut |decoded| {
            pictures[starts[decoded.stretch] + decoded.place] = decoded.rgb.into();
            done += 1;
            progress(done, all);
            Ok(())
        })?;
        let View { height, width, .. } = view;
        Ok(Self { decoded: Arc::new(Decoded { height, width, pictures, starts }), windows })
    }

    /// The same decoded frames as clips of another length.
    ///
    /// # Errors
    /// No frames, or more than the longest run has.
    pub fn with_frames(&self, frames: usize) -> Result<Self, Error> {
        Ok(Self { decoded: self.decoded.clone(), windows: self.windows.with_frames(frames)? })
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.windows.runs().len()
    }

    /// A run, and the rows of the whole episode that it belongs to.
    ///
    /// # Errors
    /// A run that is not there.
    pub fn run(&self, run: usize) -> Result<(&Run, &Rows), Error> {
        self.windows.run(run)
    }

    /// `frames` frames of one run from its frame `start` on, with the same step between frames as the clips.
    ///
    /// The actions between two frames are those of all steps between them, one after the other: with a stride of `s`,
    /// `action_dim` is `s` times the data set's.
    ///
    /// # Errors
    /// A run that is not there, no frames, or more than the run has after `start`.
    pub fn run_clip(&self, run: usize, start: usize, frames: usize) -> Result<Clip, Error> {
        let Decoded { height, width, pictures, starts } = &*self.decoded;
        let places = self.windows.places(run, start, frames)?;
        let rgb = places.iter().flat_map(|place| &pictures[starts[run] + place]).copied().collect();
        self.windows.clip(run, &places, Frames { count: frames, height: *height, width: *width, rgb })
    }
}

impl ClipSource for EpisodeClips {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn frames_per_clip(&self) -> usize {
        self.windows.frames()
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        let (run, start) = self.windows.locate(index)?;
        self.run_clip(run, start, self.windows.frames())
    }
}
