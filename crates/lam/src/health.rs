//! Is the codebook collapsing, and where?

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{CodeInit, LamConfig, Readout};
use crate::usage::{CodebookUsage, Usage};

/// Commitment weights up to this one have been seen to leave small codebooks alive.
const LIGHT_COMMITMENT: f64 = 0.01;

/// What still counts as healthy. The paper calls a collapse by its looks; these numbers are this project's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthLimits {
    /// Least share of the codes in use.
    pub utilization: f64,
    /// Largest share of the most frequent code.
    pub max_usage: f64,
    /// Least entropy over `ln entries`. A little above a fifth: two constants out of 32 codes are exactly there.
    pub entropy: f64,
    /// So many windows in a row have to be beyond a limit before it is reported.
    pub windows: u32,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self { utilization: 0.25, max_usage: 0.8, entropy: 0.21, windows: 3 }
    }
}

/// Whose histogram a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// All positions in one histogram.
    Pooled,
    /// One token of the action, from 0.
    Position(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pooled => f.write_str("all positions pooled"),
            Self::Position(position) => write!(f, "position {position}"),
        }
    }
}

/// Which limit was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// One code takes nearly everything.
    OneCode,
    /// Little entropy: a few codes take nearly everything.
    LowEntropy,
    /// Few codes occur at all.
    FewCodes,
}

impl Symptom {
    /// The gravest first.
    const ALL: [Self; 3] = [Self::OneCode, Self::LowEntropy, Self::FewCodes];
}

/// One limit crossed at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What.
    pub symptom: Symptom,
    /// The figure, see [`Symptom`].
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// The most frequent code there.
    pub code: u32,
    /// For how many windows in a row.
    pub windows: u32,
}

impl Finding {
    /// Whether this is a collapse; few codes in use alone is a warning.
    pub fn is_collapse(&self) -> bool {
        self.symptom != Symptom::FewCodes
    }

    /// What to try, most promising first; what the configuration has already is left out.
    pub fn advice(&self, config: &LamConfig) -> String {
        let quantizer = &config.quantizer;
        let few = self.symptom == Symptom::FewCodes;
        let codebook = !quantizer.is_scalar();
        let mut ideas = Vec::new();
        let mut idea = |holds: bool, words: &'static str| {
            if holds {
                ideas.push(words);
            }
        };
        idea(codebook && config.code_init != CodeInit::Data, "codes from data (lam.code_init=data)");
        idea(
            codebook && !few && config.commitment_weight > LIGHT_COMMITMENT,
            "a smaller lam.commitment_weight",
        );
        idea(!few && config.readout == Readout::Mean, "lam.readout=difference");
        idea(codebook, "dead codes restarted in a LAM phase (remedies.restart_after=50)");
        idea(
            codebook && quantizer.entropy_weight == 0.0,
            "an entropy penalty (lam.quantizer.entropy_weight=0.1)",
        );
        idea(few, "fewer lam.codes");
        idea(!few, "a longer WARM phase before joint training");
        idea(!few, "clips in which more moves (data.frame_stride, data.region)");
        format!("try {} (docs/remedies.md)", ideas.join(", "))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, value, limit, code, windows, .. } = self;
        match self.symptom {
            Symptom::OneCode => write!(
                f,
                "codebook collapse at {place}: code {code} takes {:.0} % of the actions (limit {:.0} %)",
                100.0 * value,
                100.0 * limit
            ),
            Symptom::LowEntropy => write!(
                f,
                "codebook collapse at {place}: entropy {value:.3} of its largest value (least {limit:.3}), most frequent \
                 code {code}"
            ),
            Symptom::FewCodes => write!(
                f,
                "starved codebook at {place}: {:.0} % of the codes are in use (least {:.0} %)",
                100.0 * value,
                100.0 * limit
            ),
        }?;
        if *windows > 1 { write!(f, ", {windows} windows in a row") } else { Ok(()) }
    }
}

impl HealthLimits {
    /// What is beyond its limit in one histogram, at each position and pooled: the gravest symptom of each place, with
    /// `windows` 1.
    ///
    /// A place with fewer samples than codes is judged by its most frequent code alone: it could not have more codes in
    /// use. No samples: nothing found.
    pub fn findings(&self, usage: &CodebookUsage) -> Vec<Finding> {
        self.places(usage).into_iter().filter_map(|place| place.into_iter().flatten().next()).collect()
    }

    /// For each place (positions first, then pooled) and each of [`Symptom::ALL`], the finding if there is one.
    fn places(&self, usage: &CodebookUsage) -> Vec<[Option<Finding>; 3]> {
        let (positions, entries) = (usage.positions(), usage.entries());
        let mut all = vec![0u64; entries];
        let position = |at| {
            let histogram = usage.histogram(at);
            all.iter_mut().zip(&histogram).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            self.judge(Place::Position(at), usage.position(at), &histogram)
        };
        let mut places: Vec<_> = (0..positions).map(position).collect();
        places.push(self.judge(Place::Pooled, usage.pooled(), &all));
        places
    }

    fn judge(&self, place: Place, usage: Usage, histogram: &[u64]) -> [Option<Finding>; 3] {
        let samples = histogram.iter().copied().fold(0, u64::saturating_add);
        let most = histogram.iter().enumerate().max_by_key(|(code, count)| (**count, usize::MAX - code));
        let code = most.map_or(0, |(code, _)| code as u32);
        let enough = samples >= histogram.len() as u64;
        Symptom::ALL.map(|symptom| {
            let normalised = usage.normalised(histogram.len());
            let (value, limit, beyond) = match symptom {
                Symptom::OneCode => (usage.max_usage, self.max_usage, usage.max_usage > self.max_usage),
                Symptom::LowEntropy => (normalised, self.entropy, enough && normalised < self.entropy),
                Symptom::FewCodes => {
                    (usage.utilization, self.utilization, enough && usage.utilization < self.utilization)
                }
            };
            (samples > 0 && beyond).then_some(Finding { place, symptom, value, limit, code, windows: 1 })
        })
    }
}

/// Watches window after window and speaks when a limit has been crossed for [`HealthLimits::windows`] of them in a row.
/// The state of a run, so it can be stored with it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_lam::{CodebookUsage, HealthLimits, HealthMonitor, Place};
///
/// let mut monitor = HealthMonitor::new(HealthLimits { windows: 2, ..HealthLimits::default() });
/// // The second token of every action is code 5.
/// let codes = Tensor::new(&[[0u32, 5], [1, 5], [2, 5], [3, 5], [4, 5], [5, 5], [6, 5], [7, 5]], &Device::Cpu)?;
/// let window = CodebookUsage::of(&codes, 8)?;
/// assert!(monitor.observe(&window).is_empty());
/// let findings = monitor.observe(&window);
/// assert_eq!(findings[0].place, Place::Position(1));
/// assert!(findings[0].is_collapse());
/// assert!(findings[0].to_string().contains("position 1: code 5 takes 100 %"));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthMonitor {
    limits: HealthLimits,
    /// Windows in a row for each place and symptom.
    streaks: Vec<[u32; 3]>,
}

impl HealthMonitor {
    /// Nothing seen yet.
    pub fn new(limits: HealthLimits) -> Self {
        Self { limits, streaks: Vec::new() }
    }

    /// Other limits from here on; the windows seen so far stay counted.
    pub fn limit(&mut self, limits: HealthLimits) {
        self.limits = limits;
    }

    /// Takes in the histogram of a window and returns the gravest symptom of each place that has lasted long enough, the
    /// positions first.
    pub fn observe(&mut self, window: &CodebookUsage) -> Vec<Finding> {
        let places = self.limits.places(window);
        self.streaks.resize(places.len(), [0; 3]);
        let mut findings = Vec::new();
        for (streaks, place) in self.streaks.iter_mut().zip(places) {
            let mut gravest = None;
            for (streak, found) in streaks.iter_mut().zip(place) {
                *streak = if found.is_some() { streak.saturating_add(1) } else { 0 };
                if *streak >= self.limits.windows {
                    gravest = gravest.or(found.map(|finding| Finding { windows: *streak, ..finding }));
                }
            }
            findings.extend(gravest);
        }
        findings
    }
}
