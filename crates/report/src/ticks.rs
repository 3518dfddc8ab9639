//! Round numbers along an axis.

/// Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, about `count` of them.
pub(crate) fn linear(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    // The nearest by ratio: between 2 and 5, say, the border is the root of 10.
    let step = power
        * match rough / power {
            ..1.414 => 1.0,
            ..3.162 => 2.0,
            ..7.071 => 5.0,
            _ => 10.0,
        };
    let slack = 1e-9 * (high - low);
    let (first, last) = (((low - slack) / step).ceil() as i64, ((high + slack) / step).floor() as i64);
    (first..=last).map(|index| index as f64 * step).collect()
}

/// Powers of ten from `low` to `high`; with their double and fivefold where there would be few.
pub(crate) fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |tick: &f64| *tick >= low * (1.0 - 1e-9) && *tick <= high * (1.0 + 1e-9);
    let fine: Vec<f64> = (first..=last)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * 10f64.powi(power)))
        .filter(inside)
        .collect();
    match fine.len() {
        // Less than a decade: round numbers as on a linear axis.
        0..3 => linear(low, high, 5).into_iter().filter(|tick| *tick > 0.0).collect(),
        3..8 => fine,
        _ => {
            let stride = ((last - first) / 7 + 1) as usize;
            (first..=last).step_by(stride).map(|power| 10f64.powi(power)).filter(inside).collect()
        }
    }
}

/// What to write at the ticks of a linear axis: no more decimals than their distance needs, one unit for all.
pub(crate) fn labels(ticks: &[f64]) -> Vec<String> {
    let largest = ticks.iter().fold(0f64, |largest, tick| largest.max(tick.abs()));
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    if !(1e-3..1e12).contains(&largest) {
        return ticks.iter().map(|tick| scientific(*tick)).collect();
    }
    let (unit, letter) = match largest {
        1e9.. => (1e9, "G"),
        1e6.. => (1e6, "M"),
        1e4.. => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = if step.is_finite() { step / unit } else { largest / unit };
    let decimals = (-(step * 1.001).log10().floor()).max(0.0) as usize;
    let label = |tick: f64| match tick {
        0.0 => "0".to_owned(),
        _ => format!("{:.decimals$}{letter}", tick / unit),
    };
    ticks.iter().map(|tick| label(*tick)).collect()
}

/// What to write at a tick of a logarithmic axis.
pub(crate) fn logarithmic_label(tick: f64) -> String {
    if !(1e-3..1e4).contains(&tick) {
        return scientific(tick);
    }
    // Twelve digits hide what 10^-3 · 2 lacks in binary.
    let text = format!("{tick:.12}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:.3e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_multiples_of_1_2_or_5() {
        assert_eq!(linear(0.0, 10_000.0, 5), [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]);
        assert_eq!(labels(&linear(-0.13, 0.42, 5)), ["-0.1", "0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(labels(&linear(0.0, 29_990.0, 5)), ["0", "5k", "10k", "15k", "20k", "25k"]);
        assert_eq!(labels(&linear(19.6, 20.1, 5)), ["19.6", "19.7", "19.8", "19.9", "20.0", "20.1"]);
    }

    #[test]
    fn large_and_small_numbers_are_written_short() {
        assert_eq!(labels(&[0.0, 5000.0, 10_000.0]), ["0", "5k", "10k"]);
        assert_eq!(labels(&[0.0, 500_000.0, 1_000_000.0]), ["0", "0.5M", "1.0M"]);
        assert_eq!(labels(&[0.0, 2e-4, 4e-4]), ["0", "2e-4", "4e-4"]);
        assert_eq!(logarithmic_label(0.002), "0.002");
        assert_eq!(logarithmic_label(1e-5), "1e-5");
    }

    #[test]
    fn logarithmic_ticks_thin_out_with_the_decades() {
        assert_eq!(logarithmic(0.9, 110.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(logarithmic(1e-4, 1.0).len(), 5);
        assert!(logarithmic(1e-30, 1e30).len() <= 10);
        assert!(logarithmic(3.1, 3.4).len() >= 3, "less than a decade still has ticks");
    }
}
