//! Times of frames beside the clock of a rate.

use std::ops::Range;

/// Furthest that a step between two frames may be from `1 / fps`, in frames.
const STEP: f64 = 0.1;
/// Furthest that a frame may be from its time since the first, in frames.
const DRIFT: f64 = 0.5;
/// Longest step that is no gap, in frames.
const GAP: f64 = 1.5;
/// Most frames that are sampled from an episode.
const MOST: f64 = (1 << 22) as f64;

/// The first frame that is not where the rate puts it, or comes a wrong step after the one before; counted from the
/// first of `times`.
pub(super) fn misfit(times: &[f64], fps: f64) -> Option<usize> {
    let first = times.first()?;
    (1..times.len()).find(|&frame| {
        let step = (times[frame] - times[frame - 1]) * fps - 1.0;
        let drift = (times[frame] - first) * fps - frame as f64;
        // Doubles of seconds since 1970 are told to a quarter of a microsecond.
        step.abs() > STEP + 1e-6 || drift.abs() > DRIFT + 1e-6
    })
}

/// The first frame at which times are not merely uneven but those of another rate: a step of less than half a frame or more
/// than one and a half, or all of them together longer or shorter than the rate makes them by more than a fiftieth.
pub(super) fn another_rate(times: &[f64], fps: f64) -> Option<usize> {
    let (first, last) = (times.first()?, times.last()?);
    let step =
        (1..times.len()).find(|&frame| !(0.5..=GAP).contains(&((times[frame] - times[frame - 1]) * fps)));
    let steps = (times.len() - 1) as f64;
    let whole = ((last - first) * fps - steps).abs() > (0.02 * steps).max(DRIFT);
    step.or_else(|| if whole { misfit(times, fps) } else { None })
}

/// Furthest that a frame is from where the rate puts it, seconds.
pub(super) fn furthest(times: &[f64], fps: f64) -> f64 {
    let first = times.first().copied().unwrap_or(0.0);
    let away = |(frame, time): (usize, &f64)| (time - first - frame as f64 / fps).abs();
    times.iter().enumerate().map(away).fold(0.0, f64::max)
}

/// Parts between gaps. One part where most steps are gaps: then it is the rate that is wrong.
pub(super) fn parts(times: &[f64], fps: f64) -> Vec<Range<usize>> {
    let gap = |frame: &usize| (times[*frame] - times[*frame - 1]) * fps > GAP;
    let gaps: Vec<usize> = (1..times.len()).filter(gap).collect();
    if 2 * gaps.len() >= times.len() {
        return std::iter::once(0..times.len()).collect();
    }
    let starts = std::iter::once(0).chain(gaps.iter().copied());
    let ends = gaps.iter().copied().chain([times.len()]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// The first time that is not finite or not after the one before.
pub(super) fn disorder(times: &[f64]) -> Option<usize> {
    (0..times.len())
        .find(|&frame| !times[frame].is_finite() || (frame > 0 && times[frame] <= times[frame - 1]))
}

/// Frames nearest to times `1 / fps` apart, counted from the first of `times`, which ascend; `None` if they are too many
/// to be meant.
pub(super) fn sampled(times: &[f64], fps: f64) -> Option<Vec<usize>> {
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Some(Vec::new()) };
    let count = ((last - first) * fps + 1e-6).floor().max(0.0) + 1.0;
    let nearest = |frame: usize| {
        let wanted = first + frame as f64 / fps;
        let after = times.partition_point(|&time| time < wanted).min(times.len() - 1);
        let before = after.saturating_sub(1);
        if wanted - times[before] + 1e-6 < times[after] - wanted { before } else { after }
    };
    (count <= MOST).then(|| (0..count as usize).map(nearest).collect())
}
