//! One axis: which numbers it shows and where.

use crate::ticks;

/// A range of numbers, laid out evenly or by their logarithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// From the smallest to the largest of `values` that can be shown, with a share `pad` of room at both ends.
    ///
    /// Numbers that are not finite, and on a logarithmic axis those up to zero, are passed over.
    pub(crate) fn around(values: impl Iterator<Item = f64>, pad: f64, log: bool) -> Self {
        let shown = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) = shown
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return if log { Self { low: 0.1, high: 1.0, log } } else { Self { low: 0.0, high: 1.0, log } };
        }
        if log {
            // Equal values get a factor of two to each side.
            let room = if high > low { (high / low).powf(pad) } else { 2.0 };
            return Self { low: (low / room).max(f64::MIN_POSITIVE), high: (high * room).min(f64::MAX), log };
        }
        // Below this the positions of ticks would be rounding errors.
        let narrow = 1e-9 * low.abs().max(high.abs());
        let room = match high - low > narrow {
            true => pad * (high - low),
            false if low == 0.0 => 1.0,
            false => 0.1 * low.abs(),
        };
        // Room below zero would suggest that a loss or an error could be there.
        let floor = if low >= 0.0 && high - low > narrow { 0.0 } else { f64::NEG_INFINITY };
        Self { low: (low - room).max(floor), high: high + room, log }
    }

    /// Exactly this range, unless it is empty or, on a logarithmic axis, reaches zero.
    pub(crate) fn fixed((low, high): (f64, f64), log: bool) -> Option<Self> {
        let usable = low.is_finite() && high.is_finite() && low < high && (!log || low > 0.0);
        usable.then_some(Self { low, high, log })
    }

    /// Where a number lies: 0 at the low end, 1 at the high end; none for what this axis cannot show.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let share = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        share.is_finite().then_some(share)
    }

    /// Places and labels of about `count` round numbers.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let values = if self.log {
            ticks::logarithmic(self.low, self.high)
        } else {
            ticks::linear(self.low, self.high, count)
        };
        let labels = match self.log {
            true => values.iter().map(|value| ticks::logarithmic_label(*value)).collect(),
            false => ticks::labels(&values),
        };
        values.iter().zip(labels).filter_map(|(value, label)| Some((self.place(*value)?, label))).collect()
    }
}
