//! Configurations: files, overrides, paths, what a run starts from and what may change when it goes on.

mod begin;
mod explained;
mod keys;
mod paths;
mod presets;
mod resumed;
#[path = "../training/support.rs"]
mod support;

/// All of an error, its causes included.
fn message(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn holds(error: &dyn std::error::Error, parts: &[&str]) {
    let text = message(error);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}
