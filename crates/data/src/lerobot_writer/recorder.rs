//! One camera's pictures on their way to the disk.

use std::io::Error as IoError;
use std::path::{Path, PathBuf};

use cola_mp4::{VideoOptions, VideoWriter};

use super::layout::{FileLimits, LeRobotLayout, PictureStore};
use super::levels::{Levels, sampled};
use super::number::Number;
use super::spill::Spill;
use super::summary::Summary;
use crate::Error;

/// Stores the pictures of one camera and keeps what their statistics need.
pub(super) struct Recorder {
    root: PathBuf,
    height: usize,
    width: usize,
    /// Of the episode's frames so far.
    levels: Spill,
    frames: usize,
    store: Store,
}

enum Store {
    Video(Box<Videos>),
    /// The episode's frames so far.
    Png(Spill),
}

/// A row of video files, the last of which is open.
struct Videos {
    folder: PathBuf,
    options: VideoOptions,
    limits: FileLimits,
    number: Number,
    open: Option<VideoWriter>,
    /// Frame of the open file at which the episode begins.
    first: usize,
}

/// Where an episode lies in a camera's videos.
pub(super) struct Span {
    pub(super) number: Number,
    /// Seconds in that file, half-open.
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Recorder {
    pub(super) fn create(
        root: &Path,
        key: &str,
        (height, width): (usize, usize),
        layout: &LeRobotLayout,
    ) -> Result<Self, Error> {
        let spill = || Spill::create(root).map_err(failed(root));
        let store = match layout.pictures {
            PictureStore::Png => Store::Png(spill()?),
            PictureStore::H264 { key_every, quantizer } => Store::Video(Box::new(Videos {
                folder: root.join("videos").join(key),
                options: VideoOptions { width, height, fps: layout.fps, key_every, quantizer },
                limits: layout.limits,
                number: Number::default(),
                open: None,
                first: 0,
            })),
        };
        Ok(Self { root: root.to_owned(), height, width, levels: spill()?, frames: 0, store })
    }

    /// Bytes that a picture must have.
    pub(super) fn picture(&self) -> usize {
        3 * self.height * self.width
    }

    /// Takes the episode's next frame, whose size has been checked.
    pub(super) fn push(&mut self, rgb: &[u8]) -> Result<(), Error> {
        let levels = Levels::of(rgb, self.height, self.width);
        self.levels.push(&levels.bytes()).map_err(failed(&self.root))?;
        match &mut self.store {
            Store::Video(videos) => videos.push(rgb, self.frames == 0)?,
            Store::Png(pictures) => {
                let encoded = encode(rgb, self.height, self.width);
                encoded.and_then(|bytes| pictures.push(&bytes)).map_err(failed(&self.root))?;
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// Statistics of the episode's pictures.
    pub(super) fn summary(&mut self) -> Result<Summary, Error> {
        let mut levels = [[0; 256]; 3];
        let sampled = sampled(self.frames);
        for &frame in &sampled {
            Levels::add(&self.levels.read(frame).map_err(failed(&self.root))?, &mut levels);
        }
        Ok(Summary::of_levels(&levels, sampled.len() as u64))
    }

    /// Where the episode lies; `None` if its pictures stand in the tables.
    pub(super) fn span(&self) -> Option<Span> {
        let Store::Video(videos) = &self.store else { return None };
        let seconds = |frame: usize| frame as f64 / videos.options.fps;
        let (from, to) = (seconds(videos.first), seconds(videos.first + self.frames));
        Some(Span { number: videos.number, from, to })
    }

    /// Bytes of the PNG of a frame of the episode; 0 for videos.
    pub(super) fn png_length(&self, frame: usize) -> u64 {
        if let Store::Png(pictures) = &self.store { pictures.length(frame) } else { 0 }
    }

    /// The PNG of a frame of the episode; `None` for videos.
    pub(super) fn png(&mut self, frame: usize) -> Result<Option<Vec<u8>>, Error> {
        let Store::Png(pictures) = &mut self.store else { return Ok(None) };
        pictures.read(frame).map(Some).map_err(failed(&self.root))
    }

    /// Forgets the episode, all of which has been written.
    pub(super) fn end_episode(&mut self) -> Result<(), Error> {
        self.frames = 0;
        self.levels.clear().map_err(failed(&self.root))?;
        match &mut self.store {
            Store::Png(pictures) => pictures.clear().map_err(failed(&self.root)),
            Store::Video(_) => Ok(()),
        }
    }

    /// Completes the last file.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.store {
            Store::Video(videos) => Ok(videos.open.map_or(Ok(()), VideoWriter::finish)?),
            Store::Png(_) => Ok(()),
        }
    }
}

impl Videos {
    /// `begins` tells that an episode does.
    fn push(&mut self, rgb: &[u8], begins: bool) -> Result<(), Error> {
        let full = |video: &VideoWriter| {
            video.bytes() >= u64::from(self.limits.video_mb) << 20
                || video.frames() as f64 >= self.limits.video_seconds * self.options.fps
        };
        if begins && self.open.as_ref().is_some_and(full) {
            self.open.take().map_or(Ok(()), VideoWriter::finish)?;
            self.number = self.number.next();
        }
        let video = match &mut self.open {
            Some(video) => video,
            None => {
                let file = self.number.place(&self.folder, "mp4")?;
                self.open.insert(VideoWriter::create(file, &self.options)?)
            }
        };
        if begins {
            self.first = video.frames();
            video.begin_group();
        }
        Ok(video.push(rgb)?)
    }
}

fn encode(rgb: &[u8], height: usize, width: usize) -> Result<Vec<u8>, IoError> {
    let mut bytes = Vec::new();
    // Sides are at most 16384.
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

fn failed(root: &Path) -> impl FnOnce(IoError) -> Error {
    move |source| Error::Write { file: root.to_owned(), source }
}
