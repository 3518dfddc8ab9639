//! Frames that have something in common, as runs.

use std::ops::Range;

/// Runs of one kind in one episode that are told one by one. More are told as one that reaches from the first to the last:
/// an episode so damaged is of no use in pieces.
const MOST: usize = 20;

/// Runs of consecutive numbers in `frames`, which ascend.
pub(super) fn runs(frames: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for frame in frames {
        match found.last_mut() {
            Some(last) if last.end == frame => last.end += 1,
            _ => found.push(frame..frame + 1),
        }
    }
    found
}

/// The runs with words about each, or one run and a word about how many there are.
pub(super) fn told(found: Vec<Range<usize>>) -> Vec<(Range<usize>, String)> {
    match (found.first(), found.last()) {
        (Some(first), Some(last)) if found.len() > MOST => {
            let frames: usize = found.iter().map(ExactSizeIterator::len).sum();
            let words =
                format!("{frames} frames in {} places from {} to {}", found.len(), first.start, last.end - 1);
            vec![(first.start..last.end, words)]
        }
        _ => found.into_iter().map(|run| (run.clone(), frames(&run))).collect(),
    }
}

/// A run in words.
pub(super) fn frames(run: &Range<usize>) -> String {
    match run.len() {
        1 => format!("frame {}", run.start),
        _ => format!("frames {} to {}", run.start, run.end - 1),
    }
}
