//! What the numbers of many rows are like, in one pass and bounded memory.

use serde::Serialize;

/// Numbers kept for histograms, all components together.
const KEPT: usize = 4 << 20;

/// One component.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Component {
    /// Finite numbers.
    pub count: u64,
    /// Numbers that are not finite.
    pub non_finite: u64,
    /// Smallest finite number.
    pub min: Option<f64>,
    /// Largest finite number.
    pub max: Option<f64>,
    /// Mean of the finite numbers.
    pub mean: f64,
    /// Their standard deviation, over all of them.
    pub std: f64,
    #[serde(skip)]
    squares: f64,
}

impl Component {
    /// Welford's update.
    fn add(&mut self, value: f32) {
        if !value.is_finite() {
            self.non_finite += 1;
            return;
        }
        let value = f64::from(value);
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        self.std = (self.squares / self.count as f64).sqrt();
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }
}

/// Rows of numbers: exact figures, and every n-th row for a histogram.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// One for each number of a row.
    pub components: Vec<Component>,
    rows: usize,
    /// Every so many rows one is kept.
    every: usize,
    kept: Vec<f32>,
}

impl Numbers {
    /// Looks at rows of `dim` numbers; rows of another length than the first are passed over.
    pub fn add(&mut self, values: &[f32], dim: usize) {
        if dim == 0 {
            return;
        }
        if self.components.is_empty() {
            self.components = vec![Component::default(); dim];
            self.every = 1;
        }
        if self.components.len() != dim {
            return;
        }
        for row in values.chunks_exact(dim) {
            self.components.iter_mut().zip(row).for_each(|(component, &value)| component.add(value));
            if self.rows.is_multiple_of(self.every) {
                self.kept.extend_from_slice(row);
            }
            self.rows += 1;
            if self.kept.len() > KEPT.max(2 * dim) {
                self.thin(dim);
            }
        }
    }

    /// Values of a component, at most some hundred thousand, evenly spread over the rows.
    pub fn sample(&self, component: usize) -> impl Iterator<Item = f64> + Clone + '_ {
        let dim = self.components.len().max(1);
        self.kept.iter().skip(component).step_by(dim).map(|&value| f64::from(value))
    }

    /// Keeps every other row.
    fn thin(&mut self, dim: usize) {
        let rows = self.kept.len() / dim;
        let mut to = 0;
        for row in (0..rows).step_by(2) {
            self.kept.copy_within(row * dim..(row + 1) * dim, to);
            to += dim;
        }
        self.kept.truncate(to);
        self.every *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_finite_numbers() {
        let mut numbers = Numbers::default();
        numbers.add(&[1.0, 5.0, 3.0, f32::NAN, 2.0, f32::INFINITY, 6.0, 5.0], 2);
        let [one, other] = numbers.components.as_slice() else { panic!("two components") };
        assert_eq!(
            (one.count, one.non_finite, one.min, one.max, one.mean),
            (4, 0, Some(1.0), Some(6.0), 3.0)
        );
        assert!((one.std - 3.5f64.sqrt()).abs() < 1e-12);
        assert_eq!((other.count, other.non_finite, other.mean, other.std), (2, 2, 5.0, 0.0));
    }

    #[test]
    fn a_long_set_keeps_evenly_spread_rows() {
        let mut numbers = Numbers::default();
        let rows = KEPT + KEPT / 2;
        (0..rows).for_each(|row| numbers.add(&[row as f32, 0.0], 2));
        let kept: Vec<f64> = numbers.sample(0).collect();
        assert!(kept.len() <= KEPT && kept.len() >= KEPT / 8);
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == kept[1]), "evenly spread");
        assert!(rows as f64 - kept[kept.len() - 1] <= 2.0 * kept[1]);
    }
}
