//! A package's `golden` test target: every file of its kinds, one line each, no file hidden by another's failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Result};

use crate::file::{IN_F32, IN_F64};
use crate::{Golden, files_of, root};

/// [`run`] with every file compared twice: in f64, which shows that the formulas are the reference's, and in f32, which
/// shows that the fast paths compute them. `test` asks [`Golden::dtype`] and [`Golden::tolerance`].
///
/// # Panics
/// As [`run`].
pub fn run_in_both(package: &str, test: impl Fn(&Golden) -> Result<()>) {
    run(package, |golden| {
        for (dtype, tolerance) in [(DType::F64, IN_F64), (DType::F32, IN_F32)] {
            let before = golden.failures.borrow().len();
            golden.dtype.set(dtype);
            golden.tolerance.set(tolerance);
            test(golden)?;
            for failure in &mut golden.failures.borrow_mut()[before..] {
                failure.insert_str(0, &format!("in {dtype:?}: "));
            }
        }
        Ok(())
    });
}

/// Opens every file that belongs to `package`, hands it to `test`, and prints `golden ok <file> worst=<ratio>` or
/// `golden FAILED <file>` with what differs. Goes on behind a failure and fails at the end.
///
/// # Panics
/// If a file failed; if the repository's own copy has no file of this package.
pub fn run(package: &str, test: impl Fn(&Golden) -> Result<()>) {
    let files = files_of(package);
    assert!(
        !files.is_empty() || std::env::var_os("COLA_GOLDEN_DIR").is_some(),
        "{}: no reference file of {package}",
        root().display()
    );
    let failed: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let verdict = catch_unwind(AssertUnwindSafe(|| {
                let golden = Golden::open(file);
                test(&golden).map_err(|error| error.to_string()).and_then(|()| golden.verdict())
            }));
            let reason = match verdict {
                Ok(Ok(line)) => {
                    println!("{line}");
                    return None;
                }
                Ok(Err(reason)) => reason,
                Err(panic) => match panic.downcast::<String>() {
                    Ok(text) => *text,
                    Err(panic) => panic.downcast_ref::<&str>().map_or(String::new(), |text| (*text).into()),
                },
            };
            let told = reason.starts_with("golden FAILED");
            println!("{}{reason}", if told { String::new() } else { format!("golden FAILED {name}: ") });
            Some(name)
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} reference files failed: {failed:?}", failed.len(), files.len());
}
