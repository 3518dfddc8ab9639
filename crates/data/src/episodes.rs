//! The episodes of one split, decoded once and cut into clips.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crop::Region;
use crate::dataset::{Rows, Stretch};
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

/// All windows of `frames` frames of a split's episodes; windows start at every frame.
///
/// The pictures are in memory, `frames x height x width x 3` bytes. Copies and [`with_frames`](Self::with_frames) share
/// them. Episodes shorter than a clip give no clips.
#[derive(Clone)]
pub struct EpisodeClips {
    decoded: Arc<Decoded>,
    frames: usize,
    stride: usize,
    /// Clips of all episodes before each one, and of all.
    before: Vec<usize>,
}

/// The split's content.
struct Decoded {
    height: usize,
    width: usize,
    /// One picture a frame, `(height, width, 3)`.
    pictures: Vec<Box<[u8]>>,
    /// Of each episode.
    rows: Vec<Rows>,
    /// Number of each episode in the data set.
    numbers: Vec<usize>,
    /// The frames of each episode.
    episodes: Vec<Range<usize>>,
}

impl EpisodeClips {
    /// Decodes these episodes, for example those of a [split](Dataset::split).
    ///
    /// `progress` hears how many frames are decoded, of how many.
    ///
    /// # Errors
    /// Options that make no sense, a camera or an episode that is not there, files that are missing, damaged or
    /// contradict the metadata, episodes that are all shorter than a clip.
    pub fn load(
        dataset: &dyn Dataset,
        episodes: &[usize],
        options: &ClipOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let camera = dataset.camera(options.camera.as_deref())?;
        let view = options.view(camera.size)?;
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(episodes.len());
        for &episode in episodes {
            let found = dataset.episodes().get(episode);
            let expected = || format!("below {}", dataset.episodes().len());
            let frames = found.ok_or_else(|| Error::setting("episode", episode, expected()))?.frames;
            let start = spans.last().map_or(0, |last| last.end);
            spans.push(start..start + frames);
        }
        // Before the decoding, which takes long.
        windows(&spans, options.frames, options.frame_stride)?;

        let rows = dataset.rows(episodes)?;
        let stretches: Vec<Stretch> = episodes
            .iter()
            .zip(&spans)
            .map(|(&episode, span)| Stretch { episode, frames: (0..span.len()).collect() })
            .collect();
        let mut pictures = vec![Box::default(); spans.last().map_or(0, |last| last.end)];
        let (mut done, all) = (0, pictures.len());
        progress(done, all);
        dataset.read_many(&camera.key, &stretches, &view, &mut |decoded| {
            pictures[spans[decoded.stretch].start + decoded.place] = decoded.rgb.into();
            done += 1;
            progress(done, all);
            Ok(())
        })?;
        let View { height, width, .. } = view;
        let numbers = episodes.to_vec();
        let decoded = Decoded { height, width, pictures, rows, numbers, episodes: spans };
        Self::new(Arc::new(decoded), options.frames, options.frame_stride)
    }

    fn new(decoded: Arc<Decoded>, frames: usize, stride: usize) -> Result<Self, Error> {
        let before = windows(&decoded.episodes, frames, stride)?;
        Ok(Self { decoded, frames, stride, before })
    }

    /// The same decoded frames as clips of another length.
    ///
    /// # Errors
    /// No frames, or more than the longest episode has.
    pub fn with_frames(&self, frames: usize) -> Result<Self, Error> {
        Self::new(self.decoded.clone(), frames, self.stride)
    }

    /// Number of episodes in the split.
    pub fn episodes(&self) -> usize {
        self.decoded.episodes.len()
    }

    /// Frames of an episode, counted in the video's own steps.
    ///
    /// # Errors
    /// An episode that the split does not have.
    pub fn episode_frames(&self, episode_in_split: usize) -> Result<usize, Error> {
        self.span(episode_in_split).map(|span| span.len())
    }

    /// Times and actions of an episode.
    ///
    /// # Errors
    /// An episode that the split does not have.
    pub fn rows(&self, episode_in_split: usize) -> Result<&Rows, Error> {
        self.span(episode_in_split).map(|_| &self.decoded.rows[episode_in_split])
    }

    /// `frames` frames of one episode from frame `start` on, with the same step between frames as the clips.
    ///
    /// The actions between two frames are those of all steps between them, one after the other: with a stride of `s`,
    /// `action_dim` is `s` times the data set's.
    ///
    /// # Errors
    /// An episode that the split does not have, no frames, or more than the episode has after `start`.
    pub fn episode_clip(&self, episode_in_split: usize, start: usize, frames: usize) -> Result<Clip, Error> {
        let Decoded { height, width, pictures, rows, numbers, .. } = &*self.decoded;
        let span = self.span(episode_in_split)?;
        let length = clip_length(frames, self.stride)?;
        if start.saturating_add(length) > span.len() {
            let found = span.len().saturating_sub(start);
            return Err(Error::ShortEpisode { found, expected: length, frames, stride: self.stride });
        }
        let at = span.start + start;
        let rgb = (0..frames).flat_map(|frame| &pictures[at + frame * self.stride]).copied().collect();
        let rows = &rows[episode_in_split];
        let actions = rows.actions[start * rows.action_dim..(start + length - 1) * rows.action_dim].to_vec();
        Ok(Clip {
            frames: Frames { count: frames, height: *height, width: *width, rgb },
            actions,
            action_dim: rows.action_dim * self.stride,
            episode: numbers[episode_in_split] as u64,
            start,
        })
    }

    fn span(&self, episode: usize) -> Result<&Range<usize>, Error> {
        let episodes = &self.decoded.episodes;
        let expected = || format!("below {}, the episodes of the split", episodes.len());
        episodes.get(episode).ok_or_else(|| Error::setting("episode", episode, expected()))
    }
}

impl ClipSource for EpisodeClips {
    fn len(&self) -> usize {
        self.before.last().copied().unwrap_or(0)
    }

    fn frames_per_clip(&self) -> usize {
        self.frames
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        if index >= self.len() {
            return Err(Error::setting("clip index", index, format!("below {}", self.len())));
        }
        let episode = self.before.partition_point(|&before| before <= index) - 1;
        self.episode_clip(episode, index - self.before[episode], self.frames)
    }
}

/// Frames of the video from a clip's first to its last.
fn clip_length(frames: usize, stride: usize) -> Result<usize, Error> {
    match (frames, stride) {
        (0, _) => Err(Error::setting("frames", 0, "at least 1")),
        (_, 0) => Err(Error::setting("frame_stride", 0, "at least 1")),
        (frames, stride) => Ok((frames - 1).saturating_mul(stride).saturating_add(1)),
    }
}

/// Clips of all episodes before each one, and of all.
fn windows(episodes: &[Range<usize>], frames: usize, stride: usize) -> Result<Vec<usize>, Error> {
    let length = clip_length(frames, stride)?;
    let mut before = vec![0];
    for span in episodes {
        before.push(before[before.len() - 1] + (span.len() + 1).saturating_sub(length));
    }
    if before[before.len() - 1] == 0 {
        let found = episodes.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        return Err(Error::ShortEpisode { found, expected: length, frames, stride });
    }
    Ok(before)
}
