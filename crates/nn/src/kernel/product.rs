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

#[cfg(test)]
mod tests {
    use super::{Into, Matrix, Threads, product};

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
