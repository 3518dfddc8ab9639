//! A video that grows frame by frame.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use cola_files::AtomicFile;

use crate::encoder::Encoder;
use crate::index::Index;
use crate::{Error, VideoOptions};

/// Writes an H.264 MP4 frame by frame, whole or not at all.
///
/// Encoded pictures wait in a nameless file beside the target, which the system removes with its writer, however that
/// ends; [`finish`](Self::finish) puts the index in front of them. Both files need room for that moment.
///
/// Every frame is kept, at one quality whatever the clip. Color has half of the picture's resolution (4:2:0).
pub struct VideoWriter {
    file: PathBuf,
    fps: f64,
    /// `3 · width · height`.
    picture: usize,
    encoder: Encoder,
    index: Index,
    pictures: BufWriter<File>,
    /// First frame that could not be written.
    failed: Option<usize>,
}

impl VideoWriter {
    /// Begins the video that will be `path`.
    ///
    /// # Errors
    /// Options out of their ranges, what the encoder refuses, a folder that is missing or cannot be written to.
    pub fn create(path: impl AsRef<Path>, options: &VideoOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        options.check(path)?;
        let encoder = Encoder::new(path, options)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let pictures = tempfile::tempfile_in(folder.unwrap_or(Path::new(".")));
        Ok(Self {
            file: path.to_owned(),
            fps: options.fps,
            picture: 3 * options.width * options.height,
            encoder,
            index: Index::default(),
            pictures: BufWriter::new(pictures.map_err(Error::io(path, "open"))?),
            failed: None,
        })
    }

    /// Appends a frame: `(height, width, 3)` as announced, RGB, rows first.
    ///
    /// # Errors
    /// Another number of bytes (the video goes on without this frame). What the encoder refuses, a video of 4 GiB, a disk
    /// that is full: the video is then given up.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), Error> {
        self.check_whole()?;
        let frame = self.frames();
        if rgb.len() != self.picture {
            let (expected, found) = (self.picture, rgb.len());
            return Err(Error::Pixels { file: self.file.clone(), frame, expected, found });
        }
        self.failed = Some(frame);
        let picture = self.encoder.encode(rgb)?;
        let added = self.index.add(picture.bytes.len(), picture.key);
        added.map_err(|source| Error::Mp4 { file: self.file.clone(), source })?;
        self.pictures.write_all(&picture.bytes).map_err(Error::io(&self.file, "write"))?;
        self.failed = None;
        Ok(())
    }

    /// Makes the next frame a key frame: where a new episode begins, nothing before it helps.
    pub fn begin_group(&mut self) {
        self.encoder.begin_group();
    }

    /// Number of frames so far.
    pub fn frames(&self) -> usize {
        self.index.sizes.len()
    }

    /// Bytes of the encoded pictures so far; the file has 8 more a frame at most, and about a thousand.
    pub fn bytes(&self) -> u64 {
        self.index.total.into()
    }

    /// Brings the video to the disk under its name.
    ///
    /// # Errors
    /// No frames, a frame that could not be written before, a disk that is full or refuses.
    pub fn finish(self) -> Result<(), Error> {
        self.check_whole()?;
        if self.frames() == 0 {
            return Err(Error::NoFrames { file: self.file });
        }
        let head = self.index.head(&self.encoder, self.fps);
        let head = head.map_err(|source| Error::Mp4 { file: self.file.clone(), source })?;
        let write = |pictures: BufWriter<File>| {
            let mut pictures = pictures.into_inner().map_err(io::IntoInnerError::into_error)?;
            pictures.rewind()?;
            let mut target = AtomicFile::create(&self.file)?;
            target.write_all(&head)?;
            io::copy(&mut pictures, &mut target)?;
            target.commit()
        };
        write(self.pictures).map_err(Error::io(&self.file, "write"))
    }

    fn check_whole(&self) -> Result<(), Error> {
        match self.failed {
            None => Ok(()),
            Some(frame) => Err(Error::GivenUp { file: self.file.clone(), frame }),
        }
    }
}
