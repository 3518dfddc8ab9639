//! Bilinear resizing of one axis: which two entries make a result, and how much of each.

/// One result: entries `at` and `next` of the source, `share` of the latter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tap {
    pub(crate) at: usize,
    pub(crate) next: usize,
    pub(crate) share: f64,
}

/// Where the centre of a result lies in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Centres {
    /// `(i + 1/2) n / m - 1/2`: pixels are squares, their centres coincide.
    Half,
    /// `i n / m`: TensorFlow's first version.
    Corner,
}

/// Results `from .. from + count` of `source` entries resized to `target`. Beyond the edge the edge goes on; there is no
/// smoothing where the target is smaller.
pub(crate) fn taps(source: usize, target: usize, from: usize, count: usize, centres: Centres) -> Vec<Tap> {
    let scale = source as f64 / target as f64;
    let last = source - 1;
    (from..from + count)
        .map(|result| {
            let place = match centres {
                Centres::Half => ((result as f64 + 0.5) * scale - 0.5).max(0.0),
                Centres::Corner => result as f64 * scale,
            };
            let at = (place as usize).min(last);
            Tap { at, next: (at + 1).min(last), share: place - at as f64 }
        })
        .collect()
}

/// Resizes one plane of rows of `width` entries, each read by `level`, and hands every result to `write` in order.
pub(crate) fn plane<L: Copy>(
    source: &[L],
    width: usize,
    [rows, columns]: [&[Tap]; 2],
    level: impl Fn(L) -> f64,
    mut write: impl FnMut(f64),
) {
    let mut row = vec![0.0; width];
    for tap in rows {
        let (above, below) = (&source[tap.at * width..][..width], &source[tap.next * width..][..width]);
        for (to, (above, below)) in row.iter_mut().zip(above.iter().zip(below)) {
            let (above, below) = (level(*above), level(*below));
            *to = above + tap.share * (below - above);
        }
        for tap in columns {
            write(row[tap.at] + tap.share * (row[tap.next] - row[tap.at]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_change_nothing() {
        for centres in [Centres::Half, Centres::Corner] {
            for (place, tap) in taps(7, 7, 0, 7, centres).into_iter().enumerate() {
                assert_eq!((tap.at, tap.share), (place, 0.0));
            }
        }
    }

    #[test]
    fn twice_the_size_has_quarters_between_pixels() {
        let places: Vec<f64> =
            taps(2, 4, 0, 4, Centres::Half).iter().map(|tap| tap.at as f64 + tap.share).collect();
        assert_eq!(places, [0.0, 0.25, 0.75, 1.25]);
        let last = taps(2, 4, 3, 1, Centres::Half)[0];
        assert_eq!((last.at, last.next), (1, 1)); // the edge goes on
        let places: Vec<f64> =
            taps(2, 4, 0, 4, Centres::Corner).iter().map(|tap| tap.at as f64 + tap.share).collect();
        assert_eq!(places, [0.0, 0.5, 1.0, 1.5]);
    }

    #[test]
    fn a_plane_is_resized_along_both_sides() {
        let (rows, columns) = (taps(2, 3, 0, 3, Centres::Half), taps(2, 3, 0, 3, Centres::Half));
        let mut found = Vec::new();
        plane(&[0.0, 1.0, 2.0, 3.0], 2, [&rows, &columns], |value| value, |value| found.push(value));
        assert_eq!(found, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
    }
}
