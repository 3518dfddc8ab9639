//! When a run is killed.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use cola_random::{stream, uniforms};

use crate::kill_test::Moments;
use crate::kill_test::saves::Saves;

/// What an undisturbed run takes.
pub(crate) struct Pace {
    pub length: Duration,
    pub saves: Saves,
}

impl Display for Pace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (length, mean) = (self.length.as_secs_f64(), 1000.0 * self.saves.mean().as_secs_f64());
        write!(f, "{length:.2} s, {} checkpoints of {mean:.0} ms each", self.saves.begun)
    }
}

/// When one process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    /// This long after its start.
    After(Duration),
    /// This long after it began its save of this number, counted from 1.
    InSave(usize, Duration),
}

impl Moment {
    pub(crate) fn is_due(&self, after: Duration, saves: &Saves) -> bool {
        match self {
            Self::After(time) => after >= *time,
            Self::InSave(number, time) => {
                saves.begun > *number
                    || saves.begun == *number && saves.under_way.is_some_and(|since| since.elapsed() >= *time)
            }
        }
    }
}

/// Kills of a resumed run, at most.
const AGAIN: usize = 3;

/// The moments of one trial: one for the first process, and with probability 1/2 one more for each that follows, up to
/// three. A pure function of (seed, trial) but for the pace.
pub(crate) fn draw(seed: u64, trial: u64, moments: Moments, pace: &Pace) -> Vec<Moment> {
    let mut drawn = Vec::new();
    let mut left = pace.saves.begun.max(1);
    for kill in 0..=AGAIN {
        let numbers = uniforms(3, 0.0, 1.0, &mut stream(seed, "kills", trial, kill as u64));
        let &[again, when, which] = &numbers[..] else { break };
        if kill > 0 && again < 0.5 {
            break;
        }
        drawn.push(match moments {
            Moments::Random => Moment::After(pace.length.mul_f32(when)),
            Moments::Checkpoints => {
                let number = ((which * left as f32) as usize).min(left - 1);
                left -= number; // the save that is cut off is done again
                Moment::InSave(number + 1, pace.saves.mean().mul_f32(when))
            }
        });
    }
    drawn
}
