//! How much each place of a feature map counts in the mean over the picture.

/// Weights of rows and columns; the weight of a place is their product, and all weights add up to 1.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Places {
    /// Every place the same: the mean of the map.
    pub(crate) fn even(height: usize, width: usize) -> Self {
        Self { rows: vec![1.0 / height as f64; height], columns: vec![1.0 / width as f64; width] }
    }

    /// The mean of the map after it was resized bilinearly (half-pixel centres, edges repeated) to `to`, rows first: a sum
    /// over the map itself, since each result is a sum of four of its places.
    pub(crate) fn resized([height, width]: [usize; 2], to: [usize; 2]) -> Self {
        Self { rows: side(height, to[0]), columns: side(width, to[1]) }
    }

    /// The weight of each place, row by row.
    pub(crate) fn weights(&self) -> Vec<f64> {
        self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| row * column)).collect()
    }
}

/// How much each of `from` entries counts in the mean of `to` entries that they were resized to.
fn side(from: usize, to: usize) -> Vec<f64> {
    let mut weights = vec![0.0; from];
    for place in 0..to {
        let source = ((place as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let first = (source as usize).min(from - 1);
        let second = (first + 1).min(from - 1);
        let share = source - first as f64;
        weights[first] += (1.0 - share) / to as f64;
        weights[second] += share / to as f64;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_counts_every_place_the_same() {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-15;
        let (even, resized) = (Places::even(5, 7).weights(), Places::resized([5, 7], [5, 7]).weights());
        assert!(even.iter().zip(&resized).all(close));
        assert!((resized.iter().sum::<f64>() - 1.0).abs() < 1e-14);
    }

    #[test]
    fn edges_count_as_far_as_they_are_repeated() {
        // Two entries to four: sources at -0.25 (0), 0.25, 0.75, 1.25 (1).
        assert_eq!(side(2, 4), [0.5, 0.5]);
        // Three entries to four: sources at -0.125 (0), 0.625, 1.375, 2.125 (2).
        assert_eq!(side(3, 4), [(1.0 + 0.375) / 4.0, (0.625 + 0.625) / 4.0, (0.375 + 1.0) / 4.0]);
    }
}
