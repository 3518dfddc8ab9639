//! Frame-exact decoding of the wanted frames of a video.

mod source;
mod timeline;

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use crate::decoder::Stop;
use crate::planes::Planes;
use crate::{Error, Frames};
use source::Source;
use timeline::Timeline;

/// Largest side of a picture, the largest that H.264 has.
pub(crate) const LARGEST_SIDE: usize = 16_384;

/// Most pixels of a picture, twice what the largest levels of H.264 and AV1 allow. A decoder keeps up to ten pictures.
const MOST_PIXELS: usize = 1 << 26;

/// Bytes of kept frames that may wait for their turn, those of all decoders together.
const WAITING: usize = 256 << 20;

/// Kept frames of one decoder that may wait for their turn.
const MOST_WAITING: usize = 128;

/// A video file with its frames in presentation order.
pub(crate) struct Video {
    source: Source,
    timeline: Timeline,
    /// Height and width that every picture must have.
    size: (usize, usize),
    /// What to do about a picture of another size.
    mend: &'static str,
}

impl Video {
    /// Reads the tables of `file`, whose pictures must have this height and width, or those of its header; `mend` is
    /// the advice if they do not.
    pub(crate) fn open(file: &Path, size: Option<(usize, usize)>, mend: &'static str) -> Result<Self, Error> {
        let source = Source::open(file)?;
        let (height, width) = source.size();
        let sides = 1..=LARGEST_SIDE;
        if !sides.contains(&height) || !sides.contains(&width) || height * width > MOST_PIXELS {
            return Err(Error::Field {
                file: file.to_owned(),
                field: "height and width in the header".into(),
                found: format!("{height} x {width}"),
                expected: format!("sides of 1 to {LARGEST_SIDE}, at most {MOST_PIXELS} pixels"),
                mend,
            });
        }
        let timeline = Timeline::new(&source.samples());
        Ok(Self { source, timeline, size: size.unwrap_or((height, width)), mend })
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        self.source.file()
    }

    /// Height and width of the pictures.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Presentation times, ascending, seconds.
    pub(crate) fn times(&self) -> &[f64] {
        &self.timeline.times
    }

    /// Number of the frame shown nearest to `time` and its own time.
    pub(crate) fn nearest(&self, time: f64) -> Option<(usize, f64)> {
        self.timeline.nearest(time)
    }

    /// Mean frames per second between the first frame and the last; `None` if no time passes between them.
    pub(crate) fn mean_rate(&self) -> Option<f64> {
        let last = self.times().last().copied().filter(|&last| last > 0.0)?;
        Some((self.times().len() - 1) as f64 / last)
    }

    /// Decodes the frames `wanted` (ascending numbers), passes each through `keep`, and hands them to `each` in order.
    ///
    /// As [`stream_all`], for one video.
    pub(crate) fn stream<T: Send, E: From<Error>>(
        &self,
        wanted: &[usize],
        bytes: usize,
        keep: impl Fn(&Frames) -> Result<T, Error> + Sync,
        mut each: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<(), E> {
        stream_all(&[Part { video: self, wanted }], bytes, keep, |_, frame, kept| each(frame, kept))
    }

    /// Decodes samples `range` from its key frame on and hands the frames `wanted` to `each`.
    fn decode(
        &self,
        range: Range<usize>,
        wanted: &[usize],
        each: &mut dyn FnMut(usize, &Frames) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (height, width) = self.size;
        let picture = Frames { count: 1, height, width, rgb: Vec::new() };
        let mut keep = Keep { video: self, next: range.start, wanted, picture, each };
        self.source.decode(range.clone(), &mut keep)?;
        if keep.next != range.end {
            let (file, found) = (self.file().to_owned(), keep.next - range.start);
            return Err(Error::FrameCount { file, first: range.start, end: range.end, found }.into());
        }
        Ok(())
    }
}

/// Some frames of one video.
pub(crate) struct Part<'a> {
    pub(crate) video: &'a Video,
    /// Numbers of the frames, ascending.
    pub(crate) wanted: &'a [usize],
}

/// Decodes frames of several videos, passes each through `keep`, and hands them to `each` in order: the number of the
/// part, that of the frame, and what was kept.
///
/// Stretches are decoded and kept in parallel. What `keep` returns has about `bytes` bytes: that decides how many
/// frames may wait for `each`, so memory does not grow with the length of the videos or of their stretches.
pub(crate) fn stream_all<T: Send, E: From<Error>>(
    parts: &[Part<'_>],
    bytes: usize,
    keep: impl Fn(&Frames) -> Result<T, Error> + Sync,
    mut each: impl FnMut(usize, usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let jobs: Vec<Job<'_>> = parts.iter().enumerate().flat_map(|(number, part)| part.jobs(number)).collect();
    let workers = rayon::current_num_threads().min(jobs.len());
    let waiting = (WAITING / (workers * bytes).max(1)).clamp(1, MOST_WAITING);
    // Threads of their own: a decoder that waits for its turn would block a worker that the frame before it needs.
    std::thread::scope(|scope| {
        let mut queues = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (sender, queue) = sync_channel(waiting);
            queues.push(queue);
            let (keep, mine) = (&keep, jobs.iter().skip(worker).step_by(workers));
            scope.spawn(move || {
                for job in mine {
                    let done = job.video.decode(job.samples.clone(), job.wanted, &mut |frame, picture| {
                        sender.send(Ok(Some((frame, keep(picture)?)))).map_err(|_| Stop::Unheard)
                    });
                    let sent = match done {
                        Ok(()) => sender.send(Ok(None)),
                        Err(Stop::Failed(error)) => return drop(sender.send(Err(error))),
                        Err(Stop::Unheard) => return,
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
        for (place, job) in jobs.iter().enumerate() {
            // A queue closes early only if its decoder panicked, which the scope passes on.
            while let Some((frame, kept)) = queues[place % workers].recv().unwrap_or(Ok(None))? {
                each(job.part, frame, kept)?;
            }
        }
        Ok(())
    })
}

/// Work for one decoder.
struct Job<'a> {
    /// Number of the part.
    part: usize,
    video: &'a Video,
    samples: Range<usize>,
    /// The wanted frames among the samples.
    wanted: &'a [usize],
}

impl<'a> Part<'a> {
    /// The stretches that hold wanted frames, joined to a decoder's worth.
    fn jobs(&self, part: usize) -> Vec<Job<'a>> {
        let &Self { video, wanted } = self;
        let within = |range: &Range<usize>| {
            let below = |end: usize| wanted.partition_point(|&frame| frame < end);
            &wanted[below(range.start)..below(range.end)]
        };
        let ranges = video.timeline.jobs(video.source.job(), |stretch| !within(stretch).is_empty());
        let job = |samples: Range<usize>| Job { part, video, wanted: within(&samples), samples };
        ranges.into_iter().map(job).collect()
    }
}

/// Picks the wanted frames out of the pictures of a stretch.
struct Keep<'a> {
    video: &'a Video,
    /// Number of the picture that comes next.
    next: usize,
    /// Numbers that are still to come.
    wanted: &'a [usize],
    /// Used again for every picture.
    picture: Frames,
    each: &'a mut dyn FnMut(usize, &Frames) -> Result<(), Stop>,
}

impl Keep<'_> {
    /// Takes the next picture as a decoder has it.
    fn planes(&mut self, planes: Planes<'_>) -> Result<(), Stop> {
        self.take((planes.height, planes.width), |rgb| planes.write_rgb(rgb))
    }

    /// Takes the next picture, of this height and width, as RGB.
    #[cfg(feature = "ffmpeg")]
    fn rgb(&mut self, size: (usize, usize), pixels: Vec<u8>) -> Result<(), Stop> {
        self.take(size, |rgb| {
            *rgb = pixels;
            Some(())
        })
    }

    fn take(
        &mut self,
        found: (usize, usize),
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) -> Result<(), Stop> {
        let number = self.next;
        self.next += 1;
        let Some((_, later)) = self.wanted.split_first().filter(|(wanted, _)| **wanted == number) else {
            return Ok(());
        };
        self.wanted = later;
        let Video { size, mend, .. } = *self.video;
        let written = if found == size { write(&mut self.picture.rgb) } else { None };
        let file = || self.video.file().to_owned();
        written.ok_or_else(|| Error::FrameSize { file: file(), found, expected: size, mend })?;
        (self.each)(number, &self.picture)
    }
}
