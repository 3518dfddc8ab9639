//! The error function in a form that a compiler can vectorise.

use super::exp::exp;

/// Up to here a polynomial in `x²` is the shortest way, beyond it `1 - e^p(x)`.
const NEAR: f32 = 0.927_734_4;

/// `2/sqrt(pi) ∫₀ˣ e^(-t²) dt` to about two units in the last place. NaN stays NaN.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let (size, square) = (x.abs(), x * x);
    // Both are computed and one is chosen: no branch, so rows of numbers go through at once. Minimax polynomials for
    // single precision (N. Juffa's).
    let near = (-5.967_617e-4f32).mul_add(square, 4.991_194e-3);
    let near = near.mul_add(square, -2.676_813_5e-2);
    let near = near.mul_add(square, 0.112_819_925);
    let near = near.mul_add(square, -0.376_125_34);
    let near = near.mul_add(square, 0.128_379_17);
    let near = near.mul_add(x, x);
    let high = (-1.728_534_7e-5f32).mul_add(size, 3.831_971_3e-4);
    let low = (-3.883_964_4e-3f32).mul_add(size, 2.425_462_2e-2);
    let far = high.mul_add(square, low);
    let far = far.mul_add(size, -0.106_777_88);
    let far = far.mul_add(size, -0.634_846_9);
    let far = far.mul_add(size, -0.128_717_51);
    let far = (1.0 - exp(far.mul_add(size, -size))).copysign(x);
    if size > NEAR { far } else { near }
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn it_is_within_three_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in 0..1_000_000 {
            let x = (i as f32 - 500_000.0) * 1.3e-5;
            let exact = candle_core::cpu::erf::erf_f64(f64::from(x));
            let unit = f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs());
            worst = worst.max((f64::from(erf(x)) - exact).abs() / unit);
        }
        assert!(worst < 3.0, "worst error {worst} units in the last place");
    }

    #[test]
    fn the_ends_are_one_and_nan_stays() {
        for x in [6.0, 1e4, 1e30, f32::INFINITY] {
            assert_eq!((erf(x), erf(-x)), (1.0, -1.0));
        }
        assert!(erf(0.0) == 0.0 && erf(f32::NAN).is_nan());
    }
}
