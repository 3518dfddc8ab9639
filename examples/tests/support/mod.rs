//! Starts the example programs as a user does.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A program that cargo builds beside the tests.
pub(crate) fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("this program");
    let profile: PathBuf = test.ancestors().nth(2).expect("the profile's folder").into();
    let program = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is missing: build it with `cargo build --examples`", program.display());
    Command::new(program)
}

/// What a program that succeeded wrote on standard output.
pub(crate) fn succeeds(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A program that failed and said all of this.
pub(crate) fn fails(output: &Output, parts: &[&str]) {
    assert!(!output.status.success(), "it was to fail");
    let text = String::from_utf8_lossy(&output.stderr);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
