//! Is the run healthy: codebook, tokens, gradients, actions.

use std::collections::VecDeque;
use std::fmt;

use cola_lam::{CodebookUsage, Finding, HealthLimits, HealthMonitor, LamConfig};
use serde::{Deserialize, Serialize};

use crate::config::ExperimentConfig;
use crate::observe::Record;

/// What is watched and when it is reported. Changes no number of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Codebook use is that of the last so many optimizer steps. The window moves with the log records, so it holds at
    /// least the steps since the last one.
    pub window: u64,
    /// Limits of codebook use.
    pub codebook: HealthLimits,
    /// Largest ratio of the quantizer's gradient on the inverse dynamics model to that of the prediction. Above it, the
    /// tokens learn to please the codebook and nothing else.
    pub gradient_ratio: f64,
    /// Least spread of the tokens of a batch, over their norm: below it they are a constant.
    pub token_spread: f64,
    /// Steps with latent actions before a collapse may stop a run, at most half of its plan's: small codebooks have been
    /// seen to wake late.
    pub grace: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            window: 50,
            codebook: HealthLimits::default(),
            gradient_ratio: 10.0,
            token_spread: 0.02,
            grace: 1000,
        }
    }
}

/// Something that a run should be told. The number of records in a row that showed it stands with it; those below
/// `health.codebook.windows` are not reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Warning {
    /// The codebook collapses or starves at some place.
    Codebook(Finding),
    /// The quantizer's losses drown the prediction's gradient on the inverse dynamics model.
    QuantizerDrowns {
        /// Norm of the prediction's gradient.
        prediction: f64,
        /// Norm of the quantizer's.
        vq: f64,
        /// Records in a row.
        windows: u32,
    },
    /// The tokens hardly depend on the clip.
    ConstantTokens {
        /// Their spread over their norm.
        spread: f64,
        /// Records in a row.
        windows: u32,
    },
    /// The prediction is as good with the actions of other clips.
    IgnoredActions {
        /// Loss with shuffled minus with true actions: flow loss, or the forward dynamics model's error.
        mean: f64,
        /// Its standard error over clips.
        standard_error: f64,
        /// Records with a measurement in a row.
        windows: u32,
    },
}

impl Warning {
    /// Records in a row that showed it.
    pub fn windows(&self) -> u32 {
        match self {
            Self::Codebook(finding) => finding.windows,
            Self::QuantizerDrowns { windows, .. }
            | Self::ConstantTokens { windows, .. }
            | Self::IgnoredActions { windows, .. } => *windows,
        }
    }

    /// What it is about, without figures: equal for the same trouble at another step.
    pub fn subject(&self) -> String {
        match self {
            Self::Codebook(finding) => format!("codebook, {}, {:?}", finding.place, finding.symptom),
            Self::QuantizerDrowns { .. } => "gradient ratio".into(),
            Self::ConstantTokens { .. } => "token spread".into(),
            Self::IgnoredActions { .. } => "action sensitivity".into(),
        }
    }

    /// Whether the latent actions say nothing: a collapsed codebook, or tokens that do not depend on the clip.
    pub fn is_collapse(&self) -> bool {
        match self {
            Self::Codebook(finding) => finding.is_collapse(),
            Self::ConstantTokens { .. } => true,
            Self::QuantizerDrowns { .. } | Self::IgnoredActions { .. } => false,
        }
    }

    /// What to try, most promising first.
    pub fn advice(&self, config: &ExperimentConfig) -> String {
        let words = match self {
            Self::Codebook(finding) => return finding.advice(&config.lam),
            Self::QuantizerDrowns { .. } => "lower lam.commitment_weight, by 10 or more",
            Self::ConstantTokens { .. } => {
                "check that neighbouring frames differ (data.frame_stride, data.region), or try lam.readout=\"difference\""
            }
            Self::IgnoredActions { .. } => {
                "train longer, raise the shift of the training times (flow.time.shift), use shorter clips (data.frames), or \
                 a longer WARM phase"
            }
        };
        words.into()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codebook(finding) => finding.fmt(f),
            Self::QuantizerDrowns { prediction, vq, .. } => write!(
                f,
                "the quantizer's gradient on the inverse dynamics model is {:.0} times the prediction's ({vq:.2e} to \
                 {prediction:.2e})",
                vq / prediction.max(f64::MIN_POSITIVE)
            ),
            Self::ConstantTokens { spread, .. } => write!(
                f,
                "the action tokens hardly depend on the clip: they spread by {:.1} % of their norm",
                100.0 * spread
            ),
            Self::IgnoredActions { mean, standard_error, .. } => write!(
                f,
                "the actions are ignored: those of other clips cost {mean:.4} +- {standard_error:.4}"
            ),
        }
    }
}

/// Codes of the steps up to one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    steps: u64,
    usage: CodebookUsage,
}

/// The sliding window and how long each warning has held. The state of a run, stored with its checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    stretches: VecDeque<Stretch>,
    monitor: HealthMonitor,
    /// Records in a row for the three warnings that are not the codebook's.
    streaks: [u32; 3],
    /// Steps with latent actions.
    watched: u64,
}

impl Health {
    pub(crate) fn new(config: &HealthConfig) -> Self {
        Self {
            stretches: VecDeque::new(),
            monitor: HealthMonitor::new(config.codebook),
            streaks: [0; 3],
            watched: 0,
        }
    }

    /// Judges by the limits of another configuration from here on; what was seen stays.
    pub(crate) fn limit(&mut self, config: &HealthConfig) {
        self.monitor.limit(config.codebook);
    }

    /// Whether the window's codes are those of this codebook.
    pub(crate) fn fits(&self, lam: &LamConfig) -> bool {
        self.stretches
            .iter()
            .all(|stretch| (stretch.usage.positions(), stretch.usage.entries()) == (lam.tokens, lam.codes))
    }

    /// The largest number of steps that it speaks of.
    pub(crate) fn counted(&self) -> u64 {
        let held = self.stretches.iter().fold(0u64, |sum, stretch| sum.saturating_add(stretch.steps));
        self.watched.max(held)
    }

    /// Moves the window on by the codes of the last `steps` steps and returns what it holds then.
    pub(crate) fn slide(
        &mut self,
        config: &HealthConfig,
        steps: u64,
        usage: CodebookUsage,
    ) -> candle_core::Result<CodebookUsage> {
        self.watched += steps;
        let mut whole = CodebookUsage::new(usage.positions(), usage.entries());
        self.stretches.push_back(Stretch { steps, usage });
        let mut held: u64 = self.stretches.iter().map(|stretch| stretch.steps).sum();
        while let Some(oldest) = self.stretches.front()
            && self.stretches.len() > 1
            && held > config.window
        {
            held -= oldest.steps;
            self.stretches.pop_front();
        }
        for stretch in &self.stretches {
            whole.merge(&stretch.usage)?;
        }
        Ok(whole)
    }

    /// All that is wrong for long enough, given the window and the record of its last steps.
    pub(crate) fn judge(
        &mut self,
        config: &HealthConfig,
        window: &CodebookUsage,
        record: &Record,
    ) -> Vec<Warning> {
        let mut warnings: Vec<Warning> =
            self.monitor.observe(window).into_iter().map(Warning::Codebook).collect();
        let [drowns, constant, ignored] = &mut self.streaks;
        let needed = config.codebook.windows;
        // What was not measured leaves the count as it is.
        if let (Some(prediction), Some(vq)) = (record.idm_gradient_prediction, record.idm_gradient_vq)
            && holds(drowns, vq > config.gradient_ratio * prediction, needed)
        {
            warnings.push(Warning::QuantizerDrowns { prediction, vq, windows: *drowns });
        }
        if let Some(spread) = record.token_spread
            && holds(constant, spread < config.token_spread, needed)
        {
            warnings.push(Warning::ConstantTokens { spread, windows: *constant });
        }
        if let (Some(mean), Some(standard_error)) = (record.sensitivity, record.sensitivity_error)
            && holds(ignored, mean < 2.0 * standard_error, needed)
        {
            warnings.push(Warning::IgnoredActions { mean, standard_error, windows: *ignored });
        }
        warnings
    }

    /// Whether a collapse may stop a plan already that has `steps` steps with latent actions.
    pub(crate) fn may_stop(&self, config: &HealthConfig, steps: u64) -> bool {
        self.watched >= config.grace.min(steps / 2)
    }
}

/// Counts a condition and says whether it has held long enough.
fn holds(streak: &mut u32, condition: bool, needed: u32) -> bool {
    *streak = if condition { streak.saturating_add(1) } else { 0 };
    condition && *streak >= needed
}
