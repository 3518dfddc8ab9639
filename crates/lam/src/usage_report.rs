//! Every figure of a histogram of codes, ready for a log.

use serde::{Deserialize, Serialize};

use crate::usage::{CodebookUsage, Usage};

/// All readings of how evenly one set of symbols is used (paper figures 2, 3 and 5; the paper does not define them).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageFigures {
    /// Share of the symbols that occur at all, in `[0, 1]`.
    pub utilization: f64,
    /// Share of the samples that the most frequent symbol has, in `[0, 1]`.
    pub max_usage: f64,
    /// Entropy in nats.
    pub entropy: f64,
    /// Entropy in bits.
    pub bits: f64,
    /// Entropy over its largest value, in `[0, 1]`: comparable across codebooks.
    pub normalised: f64,
    /// As many equally used symbols would have this entropy.
    pub perplexity: f64,
}

impl UsageFigures {
    /// Of a usage over an alphabet of `symbols`.
    fn of(usage: Usage, symbols: usize) -> Self {
        let Usage { utilization, max_usage, entropy } = usage;
        Self {
            utilization,
            max_usage,
            entropy,
            bits: usage.bits(),
            normalised: usage.normalised(symbols),
            perplexity: usage.perplexity(),
        }
    }
}

/// The three readings of a [`CodebookUsage`]: positions pooled (the headline), each alone, and whole actions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_lam::{CodebookUsage, UsageReport};
///
/// // Two constants: pooled they look like two healthy codes, each position alone is dead.
/// let codes = Tensor::new(&[[3u32, 5], [3, 5]], &Device::Cpu)?;
/// let report = UsageReport::of(&CodebookUsage::of(&codes, 8)?);
/// assert_eq!(report.pooled.max_usage, 0.5);
/// assert_eq!(report.positions[1].max_usage, 1.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageReport {
    /// Actions counted. The joint utilization cannot exceed `samples / entries^positions`.
    pub samples: u64,
    /// Codes in the codebook.
    pub entries: usize,
    /// All positions in one histogram.
    pub pooled: UsageFigures,
    /// Each position alone.
    pub positions: Vec<UsageFigures>,
    /// Whole actions, `entries^positions` symbols.
    pub joint: UsageFigures,
}

impl UsageReport {
    /// Every figure of what was counted.
    pub fn of(usage: &CodebookUsage) -> Self {
        let (positions, entries) = (usage.positions(), usage.entries());
        let joint = entries.saturating_pow(positions as u32);
        Self {
            samples: usage.samples(),
            entries,
            pooled: UsageFigures::of(usage.pooled(), entries),
            positions: (0..positions).map(|at| UsageFigures::of(usage.position(at), entries)).collect(),
            joint: UsageFigures::of(usage.joint(), joint),
        }
    }
}
