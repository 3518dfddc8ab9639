//! Matrix products over slices, by the `gemm` crate: the one place that calls it.

/// A matrix inside a slice: element `(i, j)` at `offset + i rows + j columns`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `width` one after another.
    pub(crate) fn rows(values: &'a [f32], width: usize) -> Self {
        Self { values, rows: width, columns: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn turned(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }

    fn holds(&self, height: usize, width: usize) -> bool {
        (height - 1) * self.rows + (width - 1) * self.columns < self.values.len()
    }
}

/// Whether the product is added to what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// On one thread, or as many as there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    All,
}

/// Multiplications below which waking a thread costs more than it saves: some 20 microseconds of one core.
const WORTH_THREADS: usize = 1 << 22;

/// `c = a b` or `c += a b`: `c` `(m, n)` in rows of `c_width`, `a` `(m, k)`, `b` `(k, n)`.
///
/// # Panics
/// Slices that are too short.
pub(crate) fn product(
    (c, c_width): (&mut [f32], usize),
    a: Matrix<'_>,
    b: Matrix<'_>,
    [m, n, k]: [usize; 3],
    into: Into,
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= c_width && (m - 1) * c_width + n <= c.len(), "the result of a product is too short");
    assert!(k == 0 || (a.holds(m, k) && b.holds(k, n)), "an operand of a product is too short");
    let threads = match threads {
        Threads::All if m * n * k >= WORTH_THREADS => gemm::Parallelism::Rayon(0),
        _ => gemm::Parallelism::None,
    };
    let [c_width, a_rows, a_columns, b_rows, b_columns] =
        [c_width, a.rows, a.columns, b.rows, b.columns].map(|step| step as isize);
    let keep = if into == Into::Add { 1.0 } else { 0.0 };
    let add = into == Into::Add;
    #[allow(unsafe_code, reason = "the product library takes pointers; the lengths are checked above")]
    // SAFETY: every element that is read or written lies inside its slice, as asserted above for the last one of each
    // matrix (all steps are positive); `c` is borrowed mutably and so overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_width,
            add,
            a.values.as_ptr(),
            a_columns,
            a_rows,
            b.values.as_ptr(),
            b_columns,
            b_rows,
            keep,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// `c = a b` whose rows do not depend on how many there are: a row among thousands and the same row alone agree to the
/// last bit. `c` `(m, n)`, `a` `(m, k)` in rows, `b` `(k, n)`.
///
/// The library sums each entry in an order that depends on `n` and `k` alone, but for few rows, which it treats in ways
/// of their own; those are computed among enough rows of zeros.
///
/// # Panics
/// Slices that are too short.
pub(crate) fn rows_product(c: &mut [f32], a: &[f32], b: Matrix<'_>, [m, n, k]: [usize; 3]) {
    let least = least_rows(n);
    if m == 0 || m >= least {
        return product((c, n), Matrix::rows(a, k), b, [m, n, k], Into::Replace, Threads::All);
    }
    let mut rows = vec![0f32; least * k];
    rows[..m * k].copy_from_slice(&a[..m * k]);
    let mut y = vec![0f32; least * n];
    product((&mut y, n), Matrix::rows(&rows, k), b, [least, n, k], Into::Replace, Threads::All);
    c[..m * n].copy_from_slice(&y[..m * n]);
}

/// From so many rows on the library treats every number of rows alike (gemm 0.19): results of at most 256 numbers are
/// sums along `k`, a single row is a matrix by a vector, and 64 x 64 and less splits `k` otherwise.
fn least_rows(n: usize) -> usize {
    let beyond_small = 256 / n.max(1) + 1;
    beyond_small.max(if n <= 64 { 65 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::{Into, Matrix, Threads, product, rows_product};

    #[test]
    fn a_row_of_a_product_is_the_same_alone_and_among_others() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for (n, k) in [(1, 40), (3, 1152), (32, 1152), (48, 96), (64, 700), (65, 600), (96, 48), (300, 1030)]
        {
            let b: Vec<f32> = (0..n * k).map(|i| value(3 * i + 1)).collect();
            let weight = Matrix::rows(&b, k).turned();
            let most = 270;
            let a: Vec<f32> = (0..most * k).map(value).collect();
            let mut all = vec![0f32; most * n];
            rows_product(&mut all, &a, weight, [most, n, k]);
            for m in (1..70).chain([127, 128, 129, 255, 256, 257]) {
                let start = most - m;
                let mut some = vec![0f32; m * n];
                rows_product(&mut some, &a[start * k..], weight, [m, n, k]);
                assert!(some == all[start * n..], "{m} rows of {k} by {n}");
            }
        }
    }

    #[test]
    fn products_of_rows_and_columns() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // (2, 3)
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]; // (2, 3), turned (3, 2)
        let mut c = [10.0; 5]; // (2, 2) in rows of 3
        let (a, b) = (Matrix::rows(&a, 3), Matrix::rows(&b, 3).turned());
        product((&mut c, 3), a, b, [2, 2, 3], Into::Replace, Threads::One);
        assert_eq!(c, [7.0, 5.0, 10.0, 16.0, 11.0]);
        product((&mut c, 3), a, b, [2, 2, 3], Into::Add, Threads::All);
        assert_eq!(c, [14.0, 10.0, 10.0, 32.0, 22.0]);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_operand_is_refused() {
        product(
            (&mut [0.0; 4], 2),
            Matrix::rows(&[0.0; 3], 2),
            Matrix::rows(&[0.0; 4], 2),
            [2, 2, 2],
            Into::Replace,
            Threads::One,
        );
    }
}
