//! A plane of even sides as four of half the sides, and back.

use super::for_each;

/// Pixels at even rows and even columns, even and odd, odd and even, odd and odd.
pub(super) const PARTS: usize = 4;

/// Every plane of `values`, `2 height` rows of `2 width`, becomes four of `height` rows of `width`.
pub(super) fn split(values: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let mut parts = vec![0f32; values.len()];
    let whole = PARTS * height * width;
    for_each(
        values.len(),
        parts.chunks_exact_mut(whole).zip(values.chunks_exact(whole)),
        |(parts, values)| {
            for (place, part) in parts.chunks_exact_mut(whole / PARTS).enumerate() {
                let rows = values.chunks_exact(2 * width).skip(place / 2).step_by(2);
                for (to, from) in part.chunks_exact_mut(width).zip(rows) {
                    let (from, _) = from.as_chunks::<2>();
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from[place % 2]);
                }
            }
        },
    );
    parts
}

/// The way back from [`split`].
pub(super) fn join(parts: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let mut values = vec![0f32; parts.len()];
    let whole = PARTS * height * width;
    for_each(
        parts.len(),
        values.chunks_exact_mut(whole).zip(parts.chunks_exact(whole)),
        |(values, parts)| {
            for (row, to) in values.chunks_exact_mut(2 * width).enumerate() {
                let half = |column: usize| {
                    let part = (2 * (row % 2) + column) * (whole / PARTS);
                    &parts[part + row / 2 * width..][..width]
                };
                let (to, _) = to.as_chunks_mut::<2>();
                for (to, (even, odd)) in to.iter_mut().zip(half(0).iter().zip(half(1))) {
                    *to = [*even, *odd];
                }
            }
        },
    );
    values
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn a_split_plane_is_four_and_comes_back() {
        let values: Vec<f32> = (0..16).map(|value| value as f32).collect(); // two planes of 2 x 4
        let parts = split(&values, [1, 2]);
        assert_eq!(parts[..8], [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(join(&parts, [1, 2]), values);
        assert_eq!(join(&split(&values, [2, 1]), [2, 1]), values);
    }
}
