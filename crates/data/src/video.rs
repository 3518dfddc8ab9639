//! Frame-exact decoding of the wanted frames of an H.264 track.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::mpsc::sync_channel;

use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use crate::mp4::{Sample, Track};
use crate::{Error, Frames};

/// Frames that one decoder handles before the next takes over. Key frames may come every other frame; a decoder for
/// each would cost more than the decoding.
const STRETCH: usize = 64;

/// Bytes of kept frames that may wait for their turn, those of all decoders together.
const WAITING: usize = 256 << 20;

/// A track with its frames in presentation order.
pub(crate) struct Video {
    track: Track,
    /// Presentation times, ascending, seconds.
    times: Vec<f64>,
    /// Stretches of samples that can be decoded on their own. The frames of stretch `a..b` are the frames `a..b` of the
    /// presentation order as well.
    stretches: Vec<Range<usize>>,
    /// Height and width that every picture must have.
    size: (usize, usize),
    /// What to do about a picture of another size.
    mend: &'static str,
}

/// Why a decoder stops before the end of its stretch.
enum Stop {
    Failed(Error),
    /// The frames have no taker any more.
    Unheard,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Video {
    /// The video of `track`, whose pictures must have this height and width; `mend` is the advice if they do not.
    pub(crate) fn new(track: Track, size: (usize, usize), mend: &'static str) -> Self {
        let mut order: Vec<usize> = (0..track.samples.len()).collect();
        order.sort_by(|&a, &b| track.samples[a].time.total_cmp(&track.samples[b].time));
        let times = order.iter().map(|&sample| track.samples[sample].time).collect();
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &sample)| rank[sample] = place);

        // A key frame starts a stretch only where all frames before it in decoding order are also shown before it.
        let mut stretches = Vec::new();
        let (mut start, mut shown) = (0, 0);
        for (sample, &rank) in rank.iter().enumerate() {
            if track.samples[sample].key && shown == sample && sample > start {
                stretches.push(start..sample);
                start = sample;
            }
            shown = shown.max(rank + 1);
        }
        stretches.push(start..rank.len());
        Self { track, times, stretches, size, mend }
    }

    /// The file's track.
    pub(crate) fn track(&self) -> &Track {
        &self.track
    }

    /// Height and width of the pictures.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Presentation times, ascending, seconds.
    pub(crate) fn times(&self) -> &[f64] {
        &self.times
    }

    /// Number of the frame shown nearest to `time` and its own time.
    pub(crate) fn nearest(&self, time: f64) -> Option<(usize, f64)> {
        let after = self.times.partition_point(|&shown| shown < time);
        let around = after.saturating_sub(1)..(after + 1).min(self.times.len());
        let frames = around.map(|frame| (frame, self.times[frame]));
        frames.min_by(|a, b| (a.1 - time).abs().total_cmp(&(b.1 - time).abs()))
    }

    /// Decodes the frames `wanted` (ascending numbers), passes each through `keep`, and hands them to `each` in order.
    ///
    /// Stretches are decoded and kept in parallel. What `keep` returns has about `bytes` bytes: that decides how many
    /// frames may wait for `each`, so memory does not grow with the length of the video or of its stretches.
    pub(crate) fn stream<T: Send, E: From<Error>>(
        &self,
        wanted: &[usize],
        bytes: usize,
        keep: impl Fn(Frames) -> Result<T, Error> + Sync,
        mut each: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<(), E> {
        let within = |range: &Range<usize>| {
            let below = |end: usize| wanted.partition_point(|&frame| frame < end);
            &wanted[below(range.start)..below(range.end)]
        };
        let jobs = self.jobs(|stretch| !within(stretch).is_empty());
        let workers = rayon::current_num_threads().min(jobs.len());
        let waiting = (WAITING / (workers * bytes).max(1)).clamp(1, 2 * STRETCH);
        // Threads of their own: a decoder that waits for its turn would block a worker that the frame before it needs.
        std::thread::scope(|scope| {
            let mut queues = Vec::with_capacity(workers);
            for worker in 0..workers {
                let (sender, queue) = sync_channel(waiting);
                queues.push(queue);
                let (keep, mine) = (&keep, jobs.iter().skip(worker).step_by(workers));
                scope.spawn(move || {
                    for job in mine {
                        let done = self.decode_stretch(job.clone(), within(job), |frame, picture| {
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
            for job in 0..jobs.len() {
                // A queue closes early only if its decoder panicked, which the scope passes on.
                while let Some((frame, kept)) = queues[job % workers].recv().unwrap_or(Ok(None))? {
                    each(frame, kept)?;
                }
            }
            Ok(())
        })
    }

    /// The stretches that are `needed`, neighbours joined to a decoder's worth of frames.
    fn jobs(&self, needed: impl Fn(&Range<usize>) -> bool) -> Vec<Range<usize>> {
        let mut jobs: Vec<Range<usize>> = Vec::new();
        for stretch in self.stretches.iter().filter(|stretch| needed(stretch)) {
            match jobs.last_mut() {
                Some(last) if last.end == stretch.start && last.len() < STRETCH => last.end = stretch.end,
                _ => jobs.push(stretch.clone()),
            }
        }
        jobs
    }

    /// Decodes samples `range` from its key frame on and hands the frames `wanted` to `each`.
    fn decode_stretch<E: From<Error>>(
        &self,
        range: Range<usize>,
        wanted: &[usize],
        mut each: impl FnMut(usize, Frames) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |frame| {
            move |source| Error::Decode { file: self.track.file.clone(), frame, source: Box::new(source) }
        };
        let mut file = File::open(&self.track.file).map_err(|source| self.unreadable(source))?;
        let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new())
            .map_err(failed(range.start))?;
        // Flushing after each packet makes the decoder fail on later packets and lose the order of presentation.
        let options = || DecodeOptions::new().flush_after_decode(Flush::NoFlush);

        let mut next = range.start;
        let mut wanted = wanted.iter().peekable();
        let mut receive = |picture: &DecodedYUV<'_>| {
            if wanted.next_if_eq(&&next).is_some() {
                each(next, self.picture(picture)?)?;
            }
            next += 1;
            Ok::<(), E>(())
        };
        for sample in range.clone() {
            let mut packet = if sample == range.start { self.track.parameters.clone() } else { Vec::new() };
            self.packet(&mut file, sample, &mut packet)?;
            let picture = decoder.decode_with_options(&packet, options()).map_err(failed(sample))?;
            picture.iter().try_for_each(&mut receive)?;
        }
        let delayed = decoder.flush_remaining().map_err(failed(range.end - 1))?;
        delayed.iter().try_for_each(&mut receive)?;
        if next != range.end {
            let (file, found) = (self.track.file.clone(), next - range.start);
            return Err(Error::FrameCount { file, first: range.start, end: range.end, found }.into());
        }
        Ok(())
    }

    /// Appends the units of a sample, with start codes in place of the lengths.
    fn packet(&self, file: &mut File, sample: usize, packet: &mut Vec<u8>) -> Result<(), Error> {
        let Sample { offset, size, .. } = self.track.samples[sample];
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(offset)).map_err(|source| self.unreadable(source))?;
        file.read_exact(&mut bytes).map_err(|source| self.unreadable(source))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let unit = rest.split_at_checked(self.track.prefix).and_then(|(length, after)| {
                let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                after.split_at_checked(length)
            });
            let (unit, after) = unit.ok_or_else(|| Error::Field {
                file: self.track.file.clone(),
                field: format!("sample {sample}"),
                found: "a unit longer than the sample".into(),
                expected: format!("units that fill {size} bytes"),
                mend: "the video is damaged, copy it again from its source",
            })?;
            packet.extend_from_slice(&[0, 0, 0, 1]);
            packet.extend_from_slice(unit);
            rest = after;
        }
        Ok(())
    }

    /// RGB of a decoded picture of the right size.
    fn picture(&self, picture: &DecodedYUV<'_>) -> Result<Frames, Error> {
        let (width, height) = picture.dimensions();
        if (height, width) != self.size {
            let (file, found) = (self.track.file.clone(), (height, width));
            return Err(Error::FrameSize { file, found, expected: self.size, mend: self.mend });
        }
        let mut rgb = vec![0; height * width * 3];
        picture.write_rgb8(&mut rgb);
        Ok(Frames { count: 1, height, width, rgb })
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        Error::Read { file: self.track.file.clone(), source }
    }
}
