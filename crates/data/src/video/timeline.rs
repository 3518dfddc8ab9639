//! When the samples of a video are shown, and where decoding can start.

use std::ops::Range;

/// A video's samples in the order of presentation.
pub(super) struct Timeline {
    /// Presentation times, ascending, seconds.
    pub(super) times: Vec<f64>,
    /// Stretches of samples that can be decoded on their own. The frames of stretch `a..b` are the frames `a..b` of the
    /// presentation order as well.
    pub(super) stretches: Vec<Range<usize>>,
}

impl Timeline {
    /// The timeline of samples in decoding order: when each is shown, and whether it is a key frame.
    pub(super) fn new(samples: &[(f64, bool)]) -> Self {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|&a, &b| samples[a].0.total_cmp(&samples[b].0));
        let times = order.iter().map(|&sample| samples[sample].0).collect();
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &sample)| rank[sample] = place);

        // A key frame starts a stretch only where all frames before it in decoding order are also shown before it.
        let mut stretches = Vec::new();
        let (mut start, mut shown) = (0, 0);
        for (sample, &rank) in rank.iter().enumerate() {
            if samples[sample].1 && shown == sample && sample > start {
                stretches.push(start..sample);
                start = sample;
            }
            shown = shown.max(rank + 1);
        }
        stretches.push(start..rank.len());
        Self { times, stretches }
    }

    /// Number of the frame shown nearest to `time` and its own time.
    pub(super) fn nearest(&self, time: f64) -> Option<(usize, f64)> {
        let after = self.times.partition_point(|&shown| shown < time);
        let around = after.saturating_sub(1)..(after + 1).min(self.times.len());
        let frames = around.map(|frame| (frame, self.times[frame]));
        frames.min_by(|a, b| (a.1 - time).abs().total_cmp(&(b.1 - time).abs()))
    }

    /// The stretches that are `needed`, neighbours joined until they hold `length` frames.
    pub(super) fn jobs(&self, length: usize, needed: impl Fn(&Range<usize>) -> bool) -> Vec<Range<usize>> {
        let mut jobs: Vec<Range<usize>> = Vec::new();
        for stretch in self.stretches.iter().filter(|stretch| needed(stretch)) {
            match jobs.last_mut() {
                Some(last) if last.end == stretch.start && last.len() < length => last.end = stretch.end,
                _ => jobs.push(stretch.clone()),
            }
        }
        jobs
    }
}
