//! Frame-exact decoding of the wanted frames of an H.264 track.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use rayon::prelude::*;

use crate::mp4::{Sample, Track};
use crate::{Error, Frames};

/// Frames that one decoder handles before the next takes over. Key frames may come every other frame; a decoder for
/// each would cost more than the decoding.
const STRETCH: usize = 64;

/// A track with its frames in presentation order.
pub(crate) struct Video {
    track: Track,
    /// Presentation times, ascending, seconds.
    times: Vec<f64>,
    /// Stretches of samples that can be decoded on their own. The frames of stretch `a..b` are the frames `a..b` of the
    /// presentation order as well.
    stretches: Vec<Range<usize>>,
    height: usize,
    width: usize,
}

impl Video {
    /// The video of `track`, whose pictures must have `height` x `width` pixels.
    pub(crate) fn new(track: Track, height: usize, width: usize) -> Self {
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
        Self { track, times, stretches, height, width }
    }

    /// The file's track.
    pub(crate) fn track(&self) -> &Track {
        &self.track
    }

    /// Number of the frame shown nearest to `time` and its own time.
    pub(crate) fn nearest(&self, time: f64) -> Option<(usize, f64)> {
        let after = self.times.partition_point(|&shown| shown < time);
        let around = after.saturating_sub(1)..(after + 1).min(self.times.len());
        let frames = around.map(|frame| (frame, self.times[frame]));
        frames.min_by(|a, b| (a.1 - time).abs().total_cmp(&(b.1 - time).abs()))
    }

    /// Decodes the frames `wanted` (ascending numbers), passes each through `keep`, and returns them with their
    /// numbers.
    ///
    /// `progress` hears how many of the wanted frames are done, now and then.
    pub(crate) fn decode<T: Send>(
        &self,
        wanted: &[usize],
        keep: impl Fn(Frames) -> Result<T, Error> + Sync,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<(usize, T)>, Error> {
        let within = |range: &Range<usize>| {
            let below = |end: usize| wanted.partition_point(|&frame| frame < end);
            &wanted[below(range.start)..below(range.end)]
        };
        let mut jobs: Vec<Range<usize>> = Vec::new();
        for stretch in self.stretches.iter().filter(|stretch| !within(stretch).is_empty()) {
            match jobs.last_mut() {
                Some(last) if last.end == stretch.start && last.len() < STRETCH => last.end = stretch.end,
                _ => jobs.push(stretch.clone()),
            }
        }
        let mut frames = Vec::new();
        for jobs in jobs.chunks(4 * rayon::current_num_threads()) {
            let parts = jobs.par_iter().map(|job| self.decode_stretch(job.clone(), within(job), &keep));
            for part in parts.collect::<Result<Vec<_>, Error>>()? {
                frames.extend(part);
            }
            progress(frames.len());
        }
        Ok(frames)
    }

    /// Decodes samples `range` from its key frame on.
    fn decode_stretch<T>(
        &self,
        range: Range<usize>,
        wanted: &[usize],
        keep: &impl Fn(Frames) -> Result<T, Error>,
    ) -> Result<Vec<(usize, T)>, Error> {
        let failed = |frame| {
            move |source| Error::Decode { file: self.track.file.clone(), frame, source: Box::new(source) }
        };
        let mut file = File::open(&self.track.file).map_err(|source| self.unreadable(source))?;
        let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new())
            .map_err(failed(range.start))?;
        // Flushing after each packet makes the decoder fail on later packets and lose the order of presentation.
        let options = || DecodeOptions::new().flush_after_decode(Flush::NoFlush);

        let mut kept = Vec::with_capacity(wanted.len());
        let mut next = range.start;
        let mut wanted = wanted.iter().peekable();
        let mut receive = |picture: &DecodedYUV<'_>| {
            if wanted.next_if_eq(&&next).is_some() {
                kept.push((next, keep(self.picture(picture)?)?));
            }
            next += 1;
            Ok::<(), Error>(())
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
            return Err(Error::FrameCount { file, first: range.start, end: range.end, found });
        }
        Ok(kept)
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
                mend: "the video is damaged, copy it again from the data set's source",
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
        if (height, width) != (self.height, self.width) {
            let (found, expected) = ((height, width), (self.height, self.width));
            return Err(Error::FrameSize { file: self.track.file.clone(), found, expected });
        }
        let mut rgb = vec![0; height * width * 3];
        picture.write_rgb8(&mut rgb);
        Ok(Frames { count: 1, height, width, rgb })
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        Error::Read { file: self.track.file.clone(), source }
    }
}
