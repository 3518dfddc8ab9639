//! Statistics of one feature, as `lerobot.datasets.compute_stats` has them (LeRobot 0.4.4).

use serde_json::{Value, json};

/// Bins of the histogram from which quantiles are read.
const BINS: usize = 5000;
/// Shares of the quantiles.
const SHARES: [f64; 5] = [0.01, 0.10, 0.50, 0.90, 0.99];

/// Statistics of one feature, component by component.
///
/// Mean and standard deviation are computed in 64 bits. LeRobot computes those of 32-bit features in 32 bits, and squares
/// pictures in 8, which makes the deviation of a camera meaningless; it is the true one here. Quantiles of several
/// episodes are means of the episodes' own, as there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Frames that were looked at.
    pub(super) count: u64,
    pub(super) min: Vec<f64>,
    pub(super) max: Vec<f64>,
    pub(super) mean: Vec<f64>,
    pub(super) std: Vec<f64>,
    /// In the order of [`SHARES`].
    pub(super) quantiles: [Vec<f64>; 5],
}

impl Summary {
    /// Names of all statistics but the count.
    pub(super) const NAMES: [&str; 9] = ["min", "max", "mean", "std", "q01", "q10", "q50", "q90", "q99"];

    /// Of `(n, width)` numbers of 32 bits, `n >= 1`.
    pub(super) fn of_floats(values: &[f32], width: usize) -> Self {
        let columns = (0..width).map(|component| {
            let mut column: Vec<f64> =
                values.iter().skip(component).step_by(width).map(|value| f64::from(*value)).collect();
            column.sort_by(f64::total_cmp);
            Component::of(column.iter().map(|value| (*value, 1)), |low, high| {
                edges_32(low as f32, high as f32)
            })
        });
        Self::collect((values.len() / width) as u64, columns)
    }

    /// Of one number of 64 bits a frame.
    pub(super) fn of_doubles(values: impl IntoIterator<Item = f64>) -> Self {
        let mut column: Vec<f64> = values.into_iter().collect();
        column.sort_by(f64::total_cmp);
        let component = Component::of(column.iter().map(|value| (*value, 1)), edges_64);
        Self::collect(column.len() as u64, [component])
    }

    /// Of the pixels of `frames` pictures: how often each channel has each level. Values are in [0, 1].
    pub(super) fn of_levels(levels: &[[u64; 256]; 3], frames: u64) -> Self {
        let channels = levels.iter().map(|channel| {
            let seen = channel.iter().zip(0_u8..=255).filter(|(count, _)| **count > 0);
            Component::of(seen.map(|(count, level)| (f64::from(level), *count)), edges_64).scaled(255.0)
        });
        Self::collect(frames, channels)
    }

    fn collect(count: u64, components: impl IntoIterator<Item = Component>) -> Self {
        let mut summary = Self {
            count,
            min: Vec::new(),
            max: Vec::new(),
            mean: Vec::new(),
            std: Vec::new(),
            quantiles: Default::default(),
        };
        for component in components {
            summary.min.push(component.min);
            summary.max.push(component.max);
            summary.mean.push(component.mean);
            summary.std.push(component.std);
            for (all, quantile) in summary.quantiles.iter_mut().zip(component.quantiles) {
                all.push(quantile);
            }
        }
        summary
    }

    /// Takes in the statistics of further frames of the same feature.
    pub(super) fn merge(&mut self, other: &Self) {
        let total = (self.count + other.count) as f64;
        let (ours, theirs) = (self.count as f64 / total, other.count as f64 / total);
        for place in 0..self.mean.len().min(other.mean.len()) {
            let mean = self.mean[place] * ours + other.mean[place] * theirs;
            let spread = |std: f64, own: f64| std.powi(2) + (own - mean).powi(2);
            let variance = spread(self.std[place], self.mean[place]) * ours
                + spread(other.std[place], other.mean[place]) * theirs;
            self.min[place] = self.min[place].min(other.min[place]);
            self.max[place] = self.max[place].max(other.max[place]);
            (self.mean[place], self.std[place]) = (mean, variance.sqrt());
            for (own, more) in self.quantiles.iter_mut().zip(&other.quantiles) {
                own[place] = own[place] * ours + more[place] * theirs;
            }
        }
        self.count += other.count;
    }

    /// All but the count: name and values.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'static str, &[f64])> {
        let all = [&self.min, &self.max, &self.mean, &self.std].into_iter().chain(&self.quantiles);
        Self::NAMES.into_iter().zip(all.map(Vec::as_slice))
    }

    /// As `meta/stats.json` has it: `whole` writes least and greatest as whole numbers, `deep` in the shape (n, 1, 1).
    pub(super) fn json(&self, whole: bool, deep: bool) -> Value {
        let value = |name: &str, value: f64| match name {
            "min" | "max" if whole => json!(value as i64),
            _ => json!(value),
        };
        let nested = |value: Value| if deep { json!([[value]]) } else { value };
        let list = |(name, values): (&'static str, &[f64])| {
            (name.to_owned(), values.iter().map(|found| nested(value(name, *found))).collect::<Value>())
        };
        let mut all: serde_json::Map<String, Value> = self.values().map(list).collect();
        all.insert("count".into(), json!([self.count]));
        Value::Object(all)
    }
}

/// Statistics of one component.
struct Component {
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
    quantiles: [f64; 5],
}

impl Component {
    /// Of values with the number of times that each was seen, ascending; `edges` are those of the histogram's bins.
    fn of(values: impl Iterator<Item = (f64, u64)> + Clone, edges: impl Fn(f64, f64) -> Vec<f64>) -> Self {
        let count: u64 = values.clone().map(|(_, times)| times).sum();
        let (min, max) = values
            .clone()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), (v, _)| (min.min(v), max.max(v)));
        let mean = values.clone().map(|(value, times)| value * times as f64).sum::<f64>() / count as f64;
        let square = |(value, times): (f64, u64)| (value - mean).powi(2) * times as f64;
        let std = (values.clone().map(square).sum::<f64>() / count as f64).sqrt();
        // One value has no histogram.
        let quantiles = if count < 2 { [mean; 5] } else { quantiles(values, count, &edges(min, max)) };
        Self { min, max, mean, std, quantiles }
    }

    fn scaled(self, by: f64) -> Self {
        let Self { min, max, mean, std, quantiles } = self;
        let quantiles = quantiles.map(|quantile| quantile / by);
        Self { min: min / by, max: max / by, mean: mean / by, std: std / by, quantiles }
    }
}

/// Quantiles by linear interpolation within the bins of a histogram.
fn quantiles(values: impl Iterator<Item = (f64, u64)>, count: u64, edges: &[f64]) -> [f64; 5] {
    // Bins that are not empty, with the number of values up to their end.
    let mut bins: Vec<(usize, u64)> = Vec::new();
    let mut before = 0;
    for (value, times) in values {
        // A bin holds its lower edge, the last one both.
        let bin = edges.partition_point(|edge| *edge <= value).saturating_sub(1).min(BINS - 1);
        before += times;
        match bins.last_mut() {
            Some(last) if last.0 == bin => last.1 = before,
            _ => bins.push((bin, before)),
        }
    }
    SHARES.map(|share| {
        let target = share * count as f64;
        let place = bins.partition_point(|(_, until)| (*until as f64) < target).min(bins.len() - 1);
        let (bin, until) = bins[place];
        if bin == 0 {
            return edges[0];
        }
        let before = if place == 0 { 0 } else { bins[place - 1].1 };
        let fraction = (target - before as f64) / (until - before) as f64;
        edges[bin] + fraction * (edges[bin + 1] - edges[bin])
    })
}

/// `numpy.linspace(min - 1e-10, max + 1e-10, BINS + 1)` of 64-bit numbers.
fn edges_64(min: f64, max: f64) -> Vec<f64> {
    let (start, stop) = (min - 1e-10, max + 1e-10);
    let step = (stop - start) / BINS as f64;
    let mut edges: Vec<f64> = (0..BINS).map(|edge| edge as f64 * step + start).collect();
    edges.push(stop);
    edges
}

/// The same of 32-bit numbers, where the margin is mostly lost.
fn edges_32(min: f32, max: f32) -> Vec<f64> {
    let (start, stop) = (min - 1e-10, max + 1e-10);
    let step = (stop - start) / BINS as f32;
    let mut edges: Vec<f64> = (0..BINS).map(|edge| f64::from(edge as f32 * step + start)).collect();
    edges.push(stop.into());
    edges
}
