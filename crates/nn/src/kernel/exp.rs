//! Exponential and logistic function that a compiler can vectorise.

/// 1.5 * 2^23: adding it rounds to a whole number and leaves that number in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts: the first has few digits, so its multiples are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Beyond these the result would not be a normal f32.
const LEAST: f32 = -87.3;
const MOST: f32 = 88.3;

/// `e^x` to about 1 unit in the last place, for `x` in about ±87; beyond, the value there. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Comparisons rather than `clamp`: a NaN has to come through, and min/max instructions are enough for these.
    let x = if x < LEAST { LEAST } else { x };
    let x = if x > MOST { MOST } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let r = whole.mul_add(-LN2_LOW, whole.mul_add(-LN2_HIGH, x));
    // Cephes' polynomial for e^r on ±ln(2)/2.
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 0.166_666_65);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    // The whole number in the low bits of `shifted`, moved to the exponent's place.
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::{exp, sigmoid};

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in 0..4_000_000 {
            let x = (i as f32 - 2_000_000.0) * 4.3e-5;
            let exact = f64::from(x).exp();
            let unit = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
            worst = worst.max((f64::from(exp(x)) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "worst error {worst} units in the last place");
    }

    #[test]
    fn the_ends_are_finite_and_nan_stays() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        for x in [-1e30, -200.0, 200.0, 1e30, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(exp(x).is_finite() && exp(x) > 0.0, "exp({x}) = {}", exp(x));
        }
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(100.0)), (1.0, 1.0));
        assert!(sigmoid(-100.0) < 1e-37);
    }
}
