//! A run names every file that failed, whatever the reason, and hides none.

use candle_core::{DType, Result};
use cola_golden::{Golden, Tolerance, files_of, run, run_in_both};

/// The message with which a run over `cola-flow`'s files ends, and the files that it opened.
fn outcome(test: impl Fn(&Golden) -> Result<()>) -> (Option<String>, usize) {
    let opened = std::cell::Cell::new(0);
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run("cola-flow", |golden| {
            opened.set(opened.get() + 1);
            test(golden)
        });
    }));
    (verdict.err().map(|panic| panic.downcast_ref::<String>().expect("a message").clone()), opened.get())
}

fn compared(golden: &Golden) -> Result<()> {
    let name = golden.names("output.").next().expect("an output").to_string();
    golden.compare(&name, golden.tensor(&name), Tolerance::Absolute(0.0))
}

#[test]
fn equal_values_pass() {
    assert_eq!(outcome(compared), (None, files_of("cola-flow").len()));
}

#[test]
fn a_failed_claim_an_error_and_a_panic_are_told_and_the_other_files_still_run() {
    let count = files_of("cola-flow").len();
    assert!(count > 1, "one file cannot show that the others run");
    let first = |golden: &Golden| golden.name() == "rf_add_noise";
    let (claim, opened) = outcome(|golden| {
        if first(golden) {
            golden.fail("a claim".into());
        }
        compared(golden)
    });
    assert!(claim.is_some_and(|text| text.contains("[\"rf_add_noise\"]")));
    assert_eq!(opened, count);
    let (error, opened) =
        outcome(|golden| if first(golden) { candle_core::bail!("an error") } else { compared(golden) });
    assert!(error.is_some_and(|text| text.contains("[\"rf_add_noise\"]")));
    assert_eq!(opened, count);
    let (panic, opened) = outcome(|golden| if first(golden) { panic!("a panic") } else { compared(golden) });
    assert!(panic.is_some_and(|text| text.contains("[\"rf_add_noise\"]")));
    assert_eq!(opened, count);
}

#[test]
fn a_file_of_which_nothing_was_compared_fails() {
    let (message, _) = outcome(|_| Ok(()));
    assert!(message.is_some_and(|text| text.contains("files failed")));
}

#[test]
fn every_file_is_compared_in_both_dtypes_and_a_failure_says_in_which() {
    let seen = std::cell::RefCell::new(Vec::new());
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run_in_both("cola-flow", |golden| {
            let (Tolerance::Noise(factor), dtype) = (golden.tolerance(), golden.dtype()) else {
                candle_core::bail!("a tolerance that does not look at the file");
            };
            seen.borrow_mut().push((golden.name().to_string(), dtype, factor));
            compared(golden)?;
            if golden.name() == "rf_add_noise" && dtype == DType::F32 {
                golden.fail("a claim".into());
            }
            let told = golden.verdict();
            assert!(told.is_ok() || told.is_err_and(|text| text.contains("a claim")));
            Ok(())
        });
    }));
    assert!(verdict.is_err());
    let seen = seen.into_inner();
    assert_eq!(seen.len(), 2 * files_of("cola-flow").len());
    for pair in seen.chunks(2) {
        assert_eq!(pair[0].0, pair[1].0);
        assert_eq!((pair[0].1, pair[0].2), (DType::F64, 1.5));
        assert_eq!((pair[1].1, pair[1].2), (DType::F32, 10.0));
    }
}
