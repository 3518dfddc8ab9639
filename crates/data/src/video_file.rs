//! A plain video file, frame by frame, with no data set around it.

use std::path::Path;

use crate::video::{LARGEST_SIDE, Video};
use crate::{Error, Frames, Region, resize};

const MEND: &str = "the size changes within the file, or its header is wrong; re-encode it with \
                    `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p -g 8 out.mp4`";

/// What is cut out of every frame, and the size it is brought to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Part of the frame that is used.
    pub region: Region,
    /// Rows of the result, pixels.
    pub height: usize,
    /// Pixels in a row of the result.
    pub width: usize,
}

impl View {
    /// Refuses a size that makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(&self.height) || !sides.contains(&self.width) {
            let expected = format!("sides of 1 to {LARGEST_SIDE} pixels");
            return Err(Error::setting("view", format!("{} x {}", self.height, self.width), expected));
        }
        Ok(())
    }
}

/// An H.264 or AV1 video in an mp4 or mov file; with the feature `ffmpeg` any other that FFmpeg reads.
/// H.264 without colour gives grey pictures.
///
/// Opening reads the file's tables only. [`read`](Self::read) decodes in parallel and in bounded memory: a film of an
/// hour needs no more than one of a minute.
///
/// Frames are numbered from 0 in the order in which they are shown, whatever their order in the file (B frames), and
/// each has its own time (variable frame rate). Edit lists and rotation marks are not applied.
///
/// ```
/// use std::path::Path;
///
/// use cola_data::{Error, Region, VideoFile, View};
///
/// let video = VideoFile::open(Path::new("tests/data/b_frames.mp4"))?;
/// assert_eq!((video.frames(), video.height(), video.width()), (24, 32, 48));
/// assert_eq!(video.times()[1], 0.2);
///
/// // Every third frame, its left half at 16 x 16, four frames at a time.
/// let view = View { region: Region { width: 0.5, ..Region::FULL }, height: 16, width: 16 };
/// let mut seen = Vec::new();
/// video.read((0..video.frames()).step_by(3), &view, 4, |numbers, frames| {
///     assert_eq!((frames.count, frames.height, frames.width), (4, 16, 16));
///     seen.extend_from_slice(numbers);
///     Ok::<(), Error>(())
/// })?;
/// assert_eq!(seen, [0, 3, 6, 9, 12, 15, 18, 21]);
/// # Ok::<(), Error>(())
/// ```
pub struct VideoFile {
    video: Video,
    height: usize,
    width: usize,
}

impl VideoFile {
    /// Opens `file` and reads its tables.
    ///
    /// # Errors
    /// A file that is missing, unreadable, damaged, no mp4 or mov, fragmented, without a video track, or of another
    /// codec; the codec is named.
    pub fn open(file: &Path) -> Result<Self, Error> {
        if !file.is_file() {
            let mend = "check the path";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "an mp4 or mov video", mend });
        }
        let video = Video::open(file, None, MEND)?;
        let (height, width) = video.size();
        Ok(Self { video, height, width })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.video.file()
    }

    /// Number of frames; at least 1.
    pub fn frames(&self) -> usize {
        self.video.times().len()
    }

    /// Time at which each frame is shown, ascending, seconds; the first is 0.
    pub fn times(&self) -> &[f64] {
        self.video.times()
    }

    /// Rows of a frame, pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels in a row of a frame.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Mean frames per second between the first frame and the last; `None` if no time passes between them.
    pub fn mean_rate(&self) -> Option<f64> {
        self.video.mean_rate()
    }

    /// Number of the frame shown nearest to `time`, seconds; the first or last one outside the video.
    pub fn nearest(&self, time: f64) -> usize {
        // There is at least one frame.
        self.video.nearest(time).map_or(0, |(frame, _)| frame)
    }

    /// The whole frame in its own size.
    pub fn full_view(&self) -> View {
        View { region: Region::FULL, height: self.height, width: self.width }
    }

    /// Decodes the frames `numbers` (ascending), `chunk` at a time, and hands them to `each` in order.
    ///
    /// Each frame is cut to the view's region and resized with an antialiased bilinear filter as soon as it is decoded.
    /// `each` gets the numbers of a chunk and its frames; the last chunk may be shorter. Beside the chunk, up to 256 MiB
    /// of resized frames wait in memory, plus a few full frames for each thread. Decoding starts at the key frame before
    /// a number and goes on to the next key frame, so single frames of a video with few key frames are slow.
    ///
    /// # Errors
    /// Numbers that are not ascending or that the video does not have, a view outside the frame or without pixels, a
    /// chunk of 0, a video that is damaged or whose pictures change their size, and whatever `each` returns. A
    /// picture that is missing shows only at the end of its stretch: discard what a damaged video has handed over.
    pub fn read<E: From<Error>>(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        view: &View,
        chunk: usize,
        mut each: impl FnMut(&[usize], Frames) -> Result<(), E>,
    ) -> Result<(), E> {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let &View { region, height, width } = view;
        self.check(&numbers, view, chunk)?;
        let crop = region.pixels(self.height, self.width)?;
        let bytes = height * width * 3;
        let keep = |picture: &Frames| Ok(resize(picture, &crop, height, width)?.rgb);
        let (mut done, mut rgb) = (0, Vec::new());
        self.video.stream(&numbers, bytes, keep, |_, picture| {
            rgb.extend_from_slice(&picture);
            let count = rgb.len() / bytes;
            if count == chunk.min(numbers.len() - done) {
                let handed = done..done + count;
                done = handed.end;
                each(&numbers[handed], Frames { count, height, width, rgb: std::mem::take(&mut rgb) })?;
            }
            Ok(())
        })
    }

    /// Refuses arguments of [`read`](Self::read) that make no sense.
    fn check(&self, numbers: &[usize], view: &View, chunk: usize) -> Result<(), Error> {
        if let Some(pair) = numbers.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::setting(
                "numbers",
                format!("{} after {}", pair[1], pair[0]),
                "ascending frames",
            ));
        }
        if let Some(last) = numbers.last().filter(|&&last| last >= self.frames()) {
            return Err(Error::setting("numbers", last, format!("frames below {}", self.frames())));
        }
        view.check()?;
        if chunk == 0 {
            return Err(Error::setting("chunk", 0, "at least 1 frame"));
        }
        Ok(())
    }
}
