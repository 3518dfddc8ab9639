//! The episodes of one split, decoded once and cut into clips.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crop::{Crop, Region, resize};
use crate::lerobot::{Episode, Rows};
use crate::mp4::Track;
use crate::video::Video;
use crate::{Clip, ClipSource, Error, Frames, LeRobot};

const MEND: &str = "correct `shape` or `names` of the video feature in meta/info.json";

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
    rows: Rows,
    /// Index of the first episode in the data set.
    first: u64,
    /// The frames of each episode.
    episodes: Vec<Range<usize>>,
}

impl EpisodeClips {
    /// Decodes the episodes of `split`.
    ///
    /// `progress` hears how many frames are decoded, of how many.
    ///
    /// # Errors
    /// Options that make no sense, a split or camera that is not there, files that are missing, damaged, not H.264 or
    /// contradict the metadata, episodes that are all shorter than a clip.
    pub fn load(
        dataset: &LeRobot,
        split: &str,
        options: &ClipOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let range = dataset.split(split)?;
        let camera = dataset.camera(options.camera.as_deref())?;
        let (height, width) = dataset.picture(camera)?;
        let view = options.region.pixels(height, width)?;
        if options.store == 0 {
            return Err(Error::setting("store", 0, "at least 1 pixel"));
        }
        let kept = ((view.height as usize).min(options.store), (view.width as usize).min(options.store));
        let episodes = &dataset.episodes()[range.clone()];
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(episodes.len());
        for episode in episodes {
            let start = spans.last().map_or(0, |last| last.end);
            spans.push(start..start + episode.frames());
        }
        // Before the decoding, which takes long.
        windows(&spans, options.frames, options.frame_stride)?;

        let rows = dataset.rows(episodes)?;
        let pictures = Pictures { dataset, camera, size: (height, width), view, kept };
        let pictures = pictures.decode(episodes, &spans, &rows.times, progress)?;
        let (height, width) = kept;
        let decoded = Decoded { height, width, pictures, rows, first: range.start as u64, episodes: spans };
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

    /// `frames` frames of one episode from frame `start` on, with the same step between frames as the clips.
    ///
    /// The actions between two frames are those of all steps between them, one after the other: with a stride of `s`,
    /// `action_dim` is `s` times the data set's.
    ///
    /// # Errors
    /// An episode that the split does not have, no frames, or more than the episode has after `start`.
    pub fn episode_clip(&self, episode_in_split: usize, start: usize, frames: usize) -> Result<Clip, Error> {
        let Decoded { height, width, pictures, rows, first, .. } = &*self.decoded;
        let span = self.span(episode_in_split)?;
        let length = clip_length(frames, self.stride)?;
        if start.saturating_add(length) > span.len() {
            let found = span.len().saturating_sub(start);
            return Err(Error::ShortEpisode { found, expected: length, frames, stride: self.stride });
        }
        let at = span.start + start;
        let rgb = (0..frames).flat_map(|frame| &pictures[at + frame * self.stride]).copied().collect();
        let actions = rows.actions[at * rows.action_dim..(at + length - 1) * rows.action_dim].to_vec();
        Ok(Clip {
            frames: Frames { count: frames, height: *height, width: *width, rgb },
            actions,
            action_dim: rows.action_dim * self.stride,
            episode: first + episode_in_split as u64,
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

/// How the pictures of a split are read.
struct Pictures<'a> {
    dataset: &'a LeRobot,
    camera: &'a str,
    /// Height and width of the video.
    size: (usize, usize),
    /// Part of it that is kept.
    view: Crop,
    /// Height and width at which it is kept.
    kept: (usize, usize),
}

/// A frame of the split that a video file holds.
struct Wanted {
    episode: usize,
    /// Place among all frames of the split.
    slot: usize,
    /// Seconds in the file.
    time: f64,
}

impl Pictures<'_> {
    /// One picture for each frame of the split.
    fn decode(
        &self,
        episodes: &[Episode],
        spans: &[Range<usize>],
        times: &[f64],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Box<[u8]>>, Error> {
        let mut files: BTreeMap<PathBuf, Vec<Wanted>> = BTreeMap::new();
        for (episode, span) in spans.iter().enumerate() {
            // Reading the metadata made sure that every episode has every camera.
            let video = episodes[episode].videos[self.camera];
            let wanted = files.entry(self.dataset.video_file(self.camera, video.part)?).or_default();
            wanted.extend(span.clone().map(|slot| Wanted { episode, slot, time: video.from + times[slot] }));
        }
        let mut pictures = vec![Box::default(); times.len()];
        let mut done = 0;
        progress(done, times.len());
        for (file, wanted) in files {
            let video = Video::new(Track::open(&file)?, self.size, MEND);
            let slots = self.slots(&video, episodes, spans, &wanted)?;
            let frames: Vec<usize> = slots.keys().copied().collect();
            let keep =
                |picture: Frames| Ok(resize(&picture, &self.view, self.kept.0, self.kept.1)?.rgb.into());
            video.stream(&frames, self.kept.0 * self.kept.1 * 3, keep, |frame, picture| {
                pictures[slots[&frame]] = picture;
                done += 1;
                progress(done, times.len());
                Ok::<(), Error>(())
            })?;
        }
        Ok(pictures)
    }

    /// Frame of the video -> place in the split.
    fn slots(
        &self,
        video: &Video,
        episodes: &[Episode],
        spans: &[Range<usize>],
        wanted: &[Wanted],
    ) -> Result<BTreeMap<usize, usize>, Error> {
        // Times in the rows are 32-bit and writers add up rounded durations; a tenth of a frame still leaves no doubt.
        let tolerance = (0.1 / self.dataset.info().fps).max(1e-4);
        let mut slots = BTreeMap::new();
        for &Wanted { episode, slot, time } in wanted {
            let nearest = video.nearest(time);
            let close = nearest.filter(|(_, shown)| (shown - time).abs() <= tolerance);
            // A picture that two rows claim cannot belong to both.
            if close.is_none_or(|(frame, _)| slots.insert(frame, slot).is_some()) {
                return Err(Error::FrameTime {
                    file: video.track().file.clone(),
                    episode: episodes[episode].index,
                    frame: slot - spans[episode].start,
                    found: nearest.map(|(_, shown)| shown),
                    expected: time,
                    tolerance,
                });
            }
        }
        Ok(slots)
    }
}
