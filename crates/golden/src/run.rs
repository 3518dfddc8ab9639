//! A package's `golden` test target: every file of its kinds, one line each, no file hidden by another's failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::Result;

use crate::{Golden, files_of, root};

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
            let verdict = catch_unwind(AssertUnwindSafe(|| {
                let golden = Golden::open(file);
                match test(&golden) {
                    Ok(()) => golden.finish(),
                    Err(error) => panic!("{error}"),
                }
            }));
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let panic = verdict.err()?;
            let reason = panic.downcast_ref::<String>().cloned();
            let reason = reason.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
            let reason = reason.unwrap_or_default();
            let told = reason.starts_with("golden FAILED");
            println!("{}{reason}", if told { String::new() } else { format!("golden FAILED {name}: ") });
            Some(name)
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} reference files failed: {failed:?}", failed.len(), files.len());
}
