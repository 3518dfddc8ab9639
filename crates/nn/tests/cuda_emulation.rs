//! The CUDA kernels, compiled for the host and compared with references in double, forward and backward.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

#[test]
fn kernels_agree_with_their_references() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda/emulate/main.cpp");
    let folder = tempfile::tempdir().expect("a folder for the program");
    let program = folder.path().join("emulate");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    // Fibers leave a function by a jump, which the checked library calls take for an error.
    let flags = ["-std=c++17", "-O1", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas"];
    let built = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(&source).output();
    let built = built.expect("a C++ compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let run = Command::new(&program).output().expect("the compiled program");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
}
