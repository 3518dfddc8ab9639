//! A mean that is taken bit by bit and by several workers.

use serde::{Deserialize, Serialize};

/// Count, sum and sum of squares of some values; adding up two is the same as having seen both.
///
/// ```
/// use cola_metrics::Tally;
///
/// let [mut one, mut other] = [Tally::default(); 2];
/// [1.0, 2.0].map(|value| one.add(value));
/// other.add(6.0);
/// one.merge(&other);
/// assert_eq!((one.count(), one.mean()), (3, Some(3.0)));
/// assert_eq!(one.std_error(), Some((7.0f64 / 3.0).sqrt()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    count: u64,
    sum: f64,
    squares: f64,
}

impl Tally {
    /// Takes a value in; positive infinity makes the mean infinite.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Takes all of another's values in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Values so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; none of no values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Standard error of the mean, if the values are independent; none of fewer than two values or of infinite ones.
    pub fn std_error(&self) -> Option<f64> {
        let count = self.count as f64;
        let variance = (self.squares - self.sum * self.sum / count) / (count - 1.0);
        (self.count > 1 && variance.is_finite()).then(|| (variance.max(0.0) / count).sqrt())
    }
}
