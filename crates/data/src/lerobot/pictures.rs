//! `videos`: which picture of which file is a frame of an episode.

use std::collections::BTreeMap;
use std::path::Path;

use super::{LeRobot, Part};
use crate::dataset::{Camera, Decoded, Stretch};
use crate::video::Video;
use crate::{Error, Frames, View, resize};

const MEND: &str = "correct `shape` or `names` of the video feature in meta/info.json";

/// How the pictures of a camera are read.
pub(super) struct Pictures<'a> {
    pub(super) dataset: &'a LeRobot,
    pub(super) camera: &'a Camera,
    /// What is kept of every picture.
    pub(super) view: &'a View,
}

/// A frame that a video file holds.
struct Wanted {
    episode: usize,
    frame: usize,
    /// Its stretch in the request, and its place there.
    place: (usize, usize),
    /// Seconds in the file.
    time: f64,
}

/// Opens a video file of `camera`.
pub(super) fn open(file: &Path, camera: &Camera) -> Result<Video, Error> {
    Video::open(file, camera.size, MEND)
}

impl Pictures<'_> {
    /// Hands over all frames of the stretches, file after file.
    pub(super) fn read(
        &self,
        wanted: &[Stretch],
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let dataset = self.dataset;
        wanted.iter().try_for_each(|stretch| stretch.check(&dataset.episodes))?;
        let episodes: Vec<usize> = wanted.iter().map(|stretch| stretch.episode).collect();
        let known = dataset.known(&episodes)?;
        let mut files: BTreeMap<Part, Vec<Wanted>> = BTreeMap::new();
        for (number, (stretch, known)) in wanted.iter().zip(&known).enumerate() {
            // Reading the metadata made sure that every episode has every camera.
            let span = dataset.table[stretch.episode].videos[&self.camera.key];
            let frames = stretch.frames.iter().enumerate().map(|(place, &frame)| Wanted {
                episode: stretch.episode,
                frame,
                place: (number, place),
                time: span.from + known.times[frame],
            });
            files.entry(span.part).or_default().extend(frames);
        }
        let &View { region, height, width } = self.view;
        for (part, wanted) in files {
            let video = dataset.video(self.camera, part)?;
            let (tall, wide) = video.size();
            let crop = region.pixels(tall, wide)?;
            let places = self.places(&video, &wanted)?;
            let frames: Vec<usize> = places.keys().copied().collect();
            let keep = |picture: &Frames| Ok(resize(picture, &crop, height, width)?.rgb);
            video.stream(&frames, height * width * 3, keep, |frame, rgb| {
                let (stretch, place) = places[&frame];
                each(Decoded { stretch, place, rgb })
            })?;
        }
        Ok(())
    }

    /// Frame of the video -> its place in the request.
    fn places(&self, video: &Video, wanted: &[Wanted]) -> Result<BTreeMap<usize, (usize, usize)>, Error> {
        // Times in the rows are 32-bit and writers add up rounded durations; a tenth of a frame still leaves no doubt.
        let tolerance = (0.1 / self.dataset.info.fps).max(1e-4);
        let mut places = BTreeMap::new();
        for &Wanted { episode, frame, place, time } in wanted {
            let nearest = video.nearest(time);
            let close = nearest.filter(|(_, shown)| (shown - time).abs() <= tolerance);
            // A picture that two rows claim cannot belong to both.
            if close.is_none_or(|(picture, _)| places.insert(picture, place).is_some()) {
                return Err(Error::FrameTime {
                    file: video.file().to_owned(),
                    episode: episode as u64,
                    frame,
                    found: nearest.map(|(_, shown)| shown),
                    expected: time,
                    tolerance,
                });
            }
        }
        Ok(places)
    }
}
