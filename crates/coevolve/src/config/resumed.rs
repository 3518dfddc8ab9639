//! What may change when a run goes on, and what may not.

use std::fmt;

use super::ExperimentConfig;
use super::tree::Difference;
use crate::Error;
use crate::plan::Plan;

/// Keys, or sections with a dot behind them, that decide no number of the training: how often things are written and
/// measured, what is reported, how and from where the same clips are read. Of `evaluation` those that only the figures
/// at the end depend on: the others decide the curve of action sensitivity, whose stored half would not fit its new
/// half, and `evaluation.split` decides what is trained on, too.
const MAY_CHANGE: [&str; 17] = [
    "schedule.",
    "health.",
    "divergence.",
    "data.path",
    "data.workers",
    "data.memory",
    "data.budget",
    "latents.cache",
    "latents.size",
    "compute.recompute",
    "evaluation.transitions",
    "evaluation.episodes",
    "evaluation.horizon",
    "evaluation.steps",
    "evaluation.guidance",
    "evaluation.also_guidance",
    "plan",
];

/// A value that a resumed run cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fixed {
    /// Its dotted key.
    pub key: String,
    /// The value that the run has.
    pub stored: String,
    /// The value that was asked for.
    pub wanted: String,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, wanted {}", self.key, self.stored, self.wanted)
    }
}

impl ExperimentConfig {
    /// Whether a run with the configuration `stored`, of which `done` steps are done, can go on under this one.
    ///
    /// What may change decides no number of the steps done so far: `schedule`, `health`, `divergence`, `data.path` (a dataset
    /// that was moved), `data.workers`, `data.memory`, `data.budget`, `latents` (a VAE or cache that was moved),
    /// `compute.recompute`, of `evaluation` what only the last figures depend on, and the end of the plan: phases can be
    /// added, the last one prolonged, and what is not done yet be left out. Rates that fall over a phase
    /// ([`PhaseConfig::final_rate`](crate::PhaseConfig::final_rate)) fall over its new length from then on.
    ///
    /// # Errors
    /// [`Error::Fixed`] naming every value that may not.
    pub fn check_resume(&self, stored: &Self, done: u64) -> Result<(), Error> {
        let drawn = |config: &Self| config.data.drawn && config.data.path.as_os_str().is_empty();
        let may = |key: &str| match key {
            "plan" => goes_on(&stored.plan, &self.plan, done),
            // The drawn world is no dataset that could have been moved, and it draws as many held-out clips as this.
            "data.path" => drawn(stored) == drawn(self),
            "evaluation.transitions" => !drawn(stored),
            // It may have been moved; with other weights it is refused when it is opened.
            "latents.vae" => stored.latents.vae().is_some() == self.latents.vae().is_some(),
            _ => MAY_CHANGE.iter().any(|may| match may.strip_suffix('.') {
                Some(_) => key.starts_with(may),
                None => key == *may,
            }),
        };
        let refused: Vec<Fixed> = self
            .differences(stored)?
            .into_iter()
            .filter(|difference| !may(&difference.key))
            .map(|Difference { key, own, other }| Fixed { key, stored: other, wanted: own })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(Error::Fixed { step: done, refused: refused.into() }) }
    }
}

/// Whether two plans are the same up to the end of the shorter one, and the new one is not over before `done` steps.
fn goes_on(stored: &Plan, wanted: &Plan, done: u64) -> bool {
    let (old, new) = (stored.phases(), wanted.phases());
    let alike = old.iter().zip(new).enumerate().all(|(index, (a, b))| {
        let ends_here = match a.steps.cmp(&b.steps) {
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => index + 1 == old.len(),
            std::cmp::Ordering::Greater => index + 1 == new.len(),
        };
        a.kind == b.kind && ends_here
    });
    alike && wanted.steps() >= done
}
