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
