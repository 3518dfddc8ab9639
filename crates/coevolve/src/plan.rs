//! The paper's notation for what is trained when: `WARM8K+E2E52K`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a phase trains; the names are the paper's (table 2), with `PRE` for making the pre-trained generator itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseKind {
    /// `PRE`: the video transformer alone, without actions.
    Pretrain,
    /// `LAM`: latent action model with its own forward dynamics model (first stage of the two-stage baseline).
    Lam,
    /// `WARM`: latent action model and action conditioning; gradients pass through the frozen backbone.
    Warm,
    /// `E2E`: everything.
    Joint,
    /// `WM`: world model with a frozen latent action model (second stage of the baseline).
    World,
}

/// Which parameter sets learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trains {
    /// Inverse dynamics model and codebook.
    pub lam: bool,
    /// Forward dynamics model.
    pub fdm: bool,
    /// Action conditioner.
    pub action: bool,
    /// Video transformer.
    pub backbone: bool,
}

impl PhaseKind {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Pretrain, "PRE"),
        (Self::Lam, "LAM"),
        (Self::Warm, "WARM"),
        (Self::Joint, "E2E"),
        (Self::World, "WM"),
    ];

    /// The paper's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// What learns in it.
    pub fn trains(self) -> Trains {
        Trains {
            lam: matches!(self, Self::Lam | Self::Warm | Self::Joint),
            fdm: self == Self::Lam,
            action: matches!(self, Self::Warm | Self::Joint | Self::World),
            backbone: matches!(self, Self::Pretrain | Self::Joint | Self::World),
        }
    }

    /// Whether latent actions are inferred in it.
    pub fn has_actions(self) -> bool {
        self != Self::Pretrain
    }

    /// Whether clips are cropped at random: while the latent action model learns (paper, appendix B), and in
    /// pre-training, which has to know the same pictures.
    pub fn crops(self) -> bool {
        self.trains().lam || self == Self::Pretrain
    }
}

/// One entry of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What learns.
    pub kind: PhaseKind,
    /// Optimizer steps, at least 1.
    pub steps: u64,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.steps.is_multiple_of(1000) {
            write!(f, "{}K", self.steps / 1000)
        } else {
            write!(f, "{}", self.steps)
        }
    }
}

/// Phases in order, e.g. `"LAM2K+WARM400+E2E1600".parse()`.
///
/// ```
/// use cola_coevolve::Plan;
///
/// let plan: Plan = "WARM8K+E2E52000".parse().unwrap();
/// assert_eq!(plan.to_string(), "WARM8K+E2E52K");
/// assert_eq!(plan.steps(), 60_000);
/// assert_eq!(plan.without_warmup().to_string(), "E2E60K");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Plan(Vec<Phase>);

/// A text that is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "plan `{text}`: `{part}` is no phase; write names PRE, LAM, WARM, E2E or WM with a number of steps, joined by +, e.g. WARM8K+E2E52K"
)]
pub struct PlanError {
    /// The whole text.
    pub text: String,
    /// The part that was not understood.
    pub part: String,
}

impl Plan {
    /// From kinds and steps; entries of 0 steps are left out.
    pub fn of(phases: &[(PhaseKind, u64)]) -> Self {
        let phases = phases.iter().filter(|(_, steps)| *steps > 0);
        Self(phases.map(|&(kind, steps)| Phase { kind, steps }).collect())
    }

    /// The phases in order.
    pub fn phases(&self) -> &[Phase] {
        &self.0
    }

    /// Steps of all phases.
    pub fn steps(&self) -> u64 {
        self.0.iter().fold(0, |sum, phase| sum.saturating_add(phase.steps))
    }

    /// Whether a phase of this kind occurs.
    pub fn has(&self, kind: PhaseKind) -> bool {
        self.0.iter().any(|phase| phase.kind == kind)
    }

    /// Of the first `step` steps, those in which the action conditioner learns.
    pub(crate) fn steps_with_conditioner(&self, step: u64) -> u64 {
        let mut first = 0;
        let mut steps = 0;
        for phase in &self.0 {
            if phase.kind.trains().action {
                steps += phase.steps.min(step.saturating_sub(first));
            }
            first += phase.steps;
        }
        steps
    }

    /// Steps in which latent actions are inferred.
    pub(crate) fn steps_with_actions(&self) -> u64 {
        let phases = self.0.iter().filter(|phase| phase.kind.has_actions());
        phases.fold(0, |sum, phase| sum.saturating_add(phase.steps))
    }

    /// The naive plan for comparison: every warm-up becomes joint training of the same length.
    pub fn without_warmup(&self) -> Self {
        let mut phases: Vec<Phase> = Vec::new();
        for phase in &self.0 {
            let kind = if phase.kind == PhaseKind::Warm { PhaseKind::Joint } else { phase.kind };
            match phases.last_mut() {
                Some(last) if last.kind == kind => last.steps += phase.steps,
                _ => phases.push(Phase { kind, steps: phase.steps }),
            }
        }
        Self(phases)
    }

    /// The phase that holds global step `step` and the step's number within it; `None` after the end.
    pub fn locate(&self, step: u64) -> Option<(usize, u64)> {
        let mut first = 0;
        for (index, phase) in self.0.iter().enumerate() {
            if step < phase.steps.saturating_add(first) {
                return Some((index, step - first));
            }
            first += phase.steps;
        }
        None
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let phase = |part: &str| -> Option<Phase> {
            let digits = part.find(|c: char| c.is_ascii_digit())?;
            // `E2E` holds a digit itself, so the longest name that fits is taken.
            let (kind, name) = PhaseKind::NAMES
                .into_iter()
                .filter(|(_, name)| part.starts_with(name) && name.len() >= digits)
                .max_by_key(|(_, name)| name.len())?;
            let number = &part[name.len()..];
            let (number, unit) = match number.strip_suffix(['K', 'k']) {
                Some(number) => (number, 1000),
                None => (number, 1),
            };
            let steps = number.parse::<u64>().ok()?.checked_mul(unit)?;
            (steps > 0).then_some(Phase { kind, steps })
        };
        text.split('+')
            .map(|part| {
                phase(part.trim())
                    .ok_or_else(|| PlanError { text: text.to_string(), part: part.trim().to_string() })
            })
            .collect::<Result<Vec<_>, _>>()
            .and_then(|phases| {
                // Their sum has to be a step number, too.
                let sum = phases.iter().try_fold(0u64, |sum, phase: &Phase| sum.checked_add(phase.steps));
                let fail = || PlanError { text: text.to_string(), part: text.to_string() };
                sum.map(|_| Self(phases)).ok_or_else(fail)
            })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(Phase::to_string).collect();
        f.write_str(&parts.join("+"))
    }
}

impl TryFrom<String> for Plan {
    type Error = PlanError;

    fn try_from(text: String) -> Result<Self, PlanError> {
        text.parse()
    }
}

impl From<Plan> for String {
    fn from(plan: Plan) -> Self {
        plan.to_string()
    }
}
