//! Results of parallel work.

use rayon::prelude::*;

use crate::Error;

/// All results in order, or the first error in that order.
///
/// rayon's own `collect` into a `Result` gives the error that comes first in time: another one on every run.
pub(crate) fn collected<T: Send>(
    results: impl ParallelIterator<Item = Result<T, Error>>,
) -> Result<Vec<T>, Error> {
    let all: Vec<_> = results.collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rayon::prelude::*;

    use super::collected;
    use crate::Error;

    #[test]
    fn the_first_error_in_order_is_told_however_late_it_comes() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let work = |number: usize| match number {
            0 => Ok(number),
            _ => {
                std::thread::sleep(Duration::from_millis(100 / number as u64));
                Err(Error::setting("number", number, "0"))
            }
        };
        let error = pool.install(|| collected((0..4usize).into_par_iter().map(work))).unwrap_err();
        assert!(error.to_string().contains("found 1"), "{error}");
    }
}
