//! How fast a run is, and what is left of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The speed shown is that of the last so many seconds.
const WINDOW: Duration = Duration::from_secs(60);
/// Between two marks of the window.
const EVERY: Duration = Duration::from_secs(1);

/// Counts steps over time.
#[derive(Clone, Debug)]
pub struct Pace {
    since: Instant,
    /// Steps done when this process took the phase up.
    before: u64,
    done: u64,
    marks: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// From now on, with `done` steps of the phase behind it.
    pub fn start(now: Instant, done: u64) -> Self {
        Self { since: now, before: done, done, marks: VecDeque::from([(now, done)]) }
    }

    /// `done` steps of the phase are behind it now.
    pub fn tick(&mut self, now: Instant, done: u64) {
        self.done = done;
        if self.marks.back().is_none_or(|(last, _)| now.duration_since(*last) >= EVERY) {
            self.marks.push_back((now, done));
        }
        while self.marks.len() > 2
            && self.marks.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.marks.pop_front();
        }
    }

    /// Time since this process took the phase up.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.duration_since(self.since)
    }

    /// Steps a second over the last minute; `None` before the first step.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        let &(at, done) = self.marks.front()?;
        let seconds = now.duration_since(at).as_secs_f64();
        (self.done > done && seconds > 0.0).then(|| (self.done - done) as f64 / seconds)
    }

    /// How long `steps` more will take at the mean speed so far, evaluations and checkpoints included.
    pub fn left(&self, now: Instant, steps: u64) -> Option<Duration> {
        let made = self.done.checked_sub(self.before).filter(|made| *made > 0)?;
        Duration::try_from_secs_f64(steps as f64 * self.elapsed(now).as_secs_f64() / made as f64).ok()
    }
}
