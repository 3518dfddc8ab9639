//! Sums of squared differences, as fast as memory gives the pixels.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::video::{Level, Values};
use crate::widest;

/// Grey levels whose squared differences fit a sum of 32 bits: `2^14 * 255^2 < 2^31`.
const FIT: usize = 1 << 14;
/// Independent sums: one alone would wait for each addition.
const LANES: usize = 32;

/// The sum over a range of pixels, in squared grey levels.
pub(super) fn sum(a: &Values, b: &Values, range: Range<usize>) -> f64 {
    match (a, b) {
        // Exact in f64 too: whole numbers far below 2^53.
        (Values::U8(a), Values::U8(b)) => {
            widest::dispatch(Levels { a: &a[range.clone()], b: &b[range] }) as f64
        }
        (Values::U8(a), Values::F32(b)) => widest::dispatch(Numbers { a: &a[range.clone()], b: &b[range] }),
        (Values::F32(a), Values::U8(b)) => widest::dispatch(Numbers { a: &a[range.clone()], b: &b[range] }),
        (Values::F32(a), Values::F32(b)) => widest::dispatch(Numbers { a: &a[range.clone()], b: &b[range] }),
    }
}

struct Levels<'a> {
    a: &'a [u8],
    b: &'a [u8],
}

impl WithSimd for Levels<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u64 {
        let mut total = 0;
        for (a, b) in self.a.chunks(FIT).zip(self.b.chunks(FIT)) {
            let mut sum = 0i32;
            for (a, b) in a.iter().zip(b) {
                let difference = i16::from(*a) - i16::from(*b);
                sum += i32::from(difference) * i32::from(difference);
            }
            total += u64::from(sum.unsigned_abs());
        }
        total
    }
}

struct Numbers<'a, A, B> {
    a: &'a [A],
    b: &'a [B],
}

impl<A: Level, B: Level> WithSimd for Numbers<'_, A, B> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let ((a, a_rest), (b, b_rest)) = (self.a.as_chunks::<LANES>(), self.b.as_chunks::<LANES>());
        let mut sums = [0f64; LANES];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                let difference = a[lane].level() - b[lane].level();
                sums[lane] += difference * difference;
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
            let difference = a.level() - b.level();
            *sum += difference * difference;
        }
        sums.iter().sum()
    }
}
