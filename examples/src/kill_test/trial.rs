//! One run that is killed, resumed and compared.

use std::path::Path;

use crate::kill_test::Moments;
use crate::kill_test::job::Job;
use crate::kill_test::moment::{Pace, draw};
use crate::kill_test::outcome::Outcome;
use crate::kill_test::reached::Reached;

/// A kill that has hit a running process.
pub(crate) struct Kill {
    /// After the start of the process, seconds.
    pub seconds: f64,
    pub reached: Reached,
}

/// How a trial has ended.
pub(crate) enum Verdict {
    Equal,
    /// Files that are not those of the undisturbed run.
    Differs(Vec<String>),
    /// A resumed run did not end well.
    Failed(String),
}

/// A run that was killed and resumed.
pub(crate) struct Trial {
    pub kills: Vec<Kill>,
    pub verdict: Verdict,
}

impl Trial {
    /// Starts a run in `root`, kills it at the moments of (seed, number), and compares what it ends with. Errors of the
    /// run are its verdict.
    pub(crate) fn run(
        job: &Job,
        root: &Path,
        (seed, number): (u64, u64),
        (moments, pace): (Moments, &Pace),
        expected: &Outcome,
    ) -> Self {
        let mut kills = Vec::new();
        let mut end = || {
            for moment in draw(seed, number, moments, pace) {
                match job.start(root)?.until(|after, saves| moment.is_due(after, saves))? {
                    Some(after) => {
                        kills.push(Kill { seconds: after.as_secs_f64(), reached: Reached::of(root) });
                    }
                    None => return Outcome::of(root),
                }
            }
            job.start(root)?.finish()?;
            Outcome::of(root)
        };
        let verdict = match end().map(|found| found.differences(expected)) {
            Ok(differences) if differences.is_empty() => Verdict::Equal,
            Ok(differences) => Verdict::Differs(differences),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        Self { kills, verdict }
    }

    pub(crate) fn is_equal(&self) -> bool {
        matches!(self.verdict, Verdict::Equal)
    }
}
