//! Who uses which code: the numbers that tell a collapsed codebook from a healthy one.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Counters of all histograms together; a damaged file cannot make one of them larger than memory.
pub(crate) const MOST_COUNTERS: usize = 1 << 24;

/// How evenly a set of symbols is used (paper figures 2, 3 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Share of the symbols that occur at all, in `[0, 1]`.
    pub utilization: f64,
    /// Share of the samples that the most frequent symbol has, in `[0, 1]`.
    pub max_usage: f64,
    /// Entropy `-sum p ln p` in nats.
    pub entropy: f64,
}

impl Usage {
    /// Of nonzero counts over an alphabet of `symbols`. No samples: all zero.
    fn of(counts: impl Iterator<Item = u64> + Clone, symbols: f64) -> Self {
        let total = counts.clone().fold(0, u64::saturating_add) as f64;
        if total == 0.0 {
            return Self { utilization: 0.0, max_usage: 0.0, entropy: 0.0 };
        }
        let shares = counts.filter(|count| *count > 0).map(|count| count as f64 / total);
        let (mut used, mut most, mut entropy) = (0u64, 0f64, 0f64);
        for share in shares {
            used += 1;
            most = most.max(share);
            entropy -= share * share.ln();
        }
        // A single symbol gives -0.
        Self { utilization: used as f64 / symbols, max_usage: most, entropy: entropy.max(0.0) }
    }

    /// Entropy in bits.
    pub fn bits(&self) -> f64 {
        self.entropy / std::f64::consts::LN_2
    }

    /// Entropy divided by its largest value, `ln symbols`: comparable across codebooks.
    pub fn normalised(&self, symbols: usize) -> f64 {
        self.entropy / (symbols as f64).ln()
    }

    /// `exp(entropy)`: as many equally used symbols would have this entropy.
    pub fn perplexity(&self) -> f64 {
        self.entropy.exp()
    }
}

/// Counts of codes over any number of batches, each position on its own and all positions as one action.
///
/// The pooled reading is the headline; it hides a collapse into one constant for each position (two constants: entropy
/// ln 2, largest share 0.5), so look at the positions and at the joint reading, too. The joint utilization of M samples
/// cannot exceed `M / entries^positions`.
///
/// Histograms of workers, batches or steps add up by [`CodebookUsage::merge`]; the sum does not depend on their order.
/// It is the list of the actions that occur, in memory and in a file: what a large codebook could hold costs nothing, and a
/// damaged file cannot ask for more memory than it has bytes. What is read back is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct CodebookUsage {
    positions: usize,
    entries: usize,
    /// Occurrences of each whole action; only those that occur.
    joint: BTreeMap<Vec<u32>, u64>,
}

impl CodebookUsage {
    /// Nothing counted yet: actions of `positions` codes out of `entries`.
    pub fn new(positions: usize, entries: usize) -> Self {
        Self { positions, entries, joint: BTreeMap::new() }
    }

    /// Counts one tensor of codes `(..., positions)`.
    ///
    /// # Errors
    /// A tensor without a last dimension.
    pub fn of(codes: &Tensor, entries: usize) -> Result<Self> {
        let mut usage = Self::new(codes.dim(candle_core::D::Minus1)?, entries);
        usage.add(codes)?;
        Ok(usage)
    }

    /// Counts codes `(..., positions)`, whole numbers of any dtype. Reads them to the host.
    ///
    /// # Errors
    /// Another last dimension, or a code that the codebook does not have; nothing is counted then.
    pub fn add(&mut self, codes: &Tensor) -> Result<()> {
        let positions = self.positions;
        if codes.dims().last() != Some(&positions) {
            candle_core::bail!("codes of shape {:?}, expected {positions} positions last", codes.dims());
        }
        let codes = codes.flatten_all()?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        if let Some(code) = codes.iter().find(|code| **code as usize >= self.entries) {
            candle_core::bail!("code {code}, the codebook has {} entries", self.entries);
        }
        for action in codes.chunks_exact(positions.max(1)) {
            self.count(action, 1);
        }
        Ok(())
    }

    /// Adds the counts of another batch, worker or step.
    ///
    /// # Errors
    /// Another number of positions or entries; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let shape = |usage: &Self| (usage.positions, usage.entries);
        if shape(self) != shape(other) {
            candle_core::bail!(
                "codebook usage of {:?} (positions, entries) cannot be added to one of {:?}",
                shape(other),
                shape(self)
            );
        }
        for (action, &count) in &other.joint {
            self.count(action, count);
        }
        Ok(())
    }

    /// Counts an action whose codes were checked.
    fn count(&mut self, action: &[u32], times: u64) {
        match self.joint.get_mut(action) {
            // A damaged file may count to the end; that must not stop a run.
            Some(count) => *count = count.saturating_add(times),
            None => {
                self.joint.insert(action.to_vec(), times);
            }
        }
    }

    /// Actions counted.
    pub fn samples(&self) -> u64 {
        self.joint.values().copied().fold(0, u64::saturating_add)
    }

    /// Codes in an action.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Codes in the codebook.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// How often each code occurs at a position, `entries` numbers.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn histogram(&self, position: usize) -> Vec<u64> {
        assert!(position < self.positions, "position {position} of {}", self.positions);
        self.sum(position..position + 1)
    }

    /// How often each code occurs at these positions together.
    fn sum(&self, positions: Range<usize>) -> Vec<u64> {
        let mut counts = vec![0u64; self.entries];
        for (action, &count) in &self.joint {
            for code in &action[positions.clone()] {
                let place = &mut counts[*code as usize];
                *place = place.saturating_add(count);
            }
        }
        counts
    }

    /// The whole actions that occur and how often, in the order of their codes.
    pub fn actions(&self) -> impl Iterator<Item = (&[u32], u64)> {
        self.joint.iter().map(|(action, count)| (action.as_slice(), *count))
    }

    /// All positions in one histogram of `entries` symbols: the headline.
    pub fn pooled(&self) -> Usage {
        Usage::of(self.sum(0..self.positions).into_iter(), self.entries as f64)
    }

    /// One position alone.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn position(&self, position: usize) -> Usage {
        Usage::of(self.histogram(position).into_iter(), self.entries as f64)
    }

    /// Whole actions: `entries^positions` symbols.
    pub fn joint(&self) -> Usage {
        Usage::of(self.joint.values().copied(), (self.entries as f64).powi(self.positions as i32))
    }
}

/// A [`CodebookUsage`] in a file: the histograms follow from the actions.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    positions: usize,
    entries: usize,
    actions: Vec<(Vec<u32>, u64)>,
}

impl From<CodebookUsage> for Stored {
    fn from(usage: CodebookUsage) -> Self {
        let (positions, entries) = (usage.positions, usage.entries);
        Self { positions, entries, actions: usage.joint.into_iter().collect() }
    }
}

impl TryFrom<Stored> for CodebookUsage {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        let Stored { positions, entries, actions } = stored;
        if positions.saturating_mul(entries) > MOST_COUNTERS {
            return Err(format!(
                "{positions} positions of {entries} entries, at most {MOST_COUNTERS} counters are kept"
            ));
        }
        let mut usage = Self::new(positions, entries);
        let mut samples = 0u64;
        for (action, count) in &actions {
            if action.len() != positions || action.iter().any(|code| *code as usize >= entries) {
                return Err(format!("action {action:?}, expected {positions} codes below {entries}"));
            }
            samples = samples.checked_add(*count).ok_or("more actions than 64 bits can count")?;
            usage.count(action, *count);
        }
        Ok(usage)
    }
}
