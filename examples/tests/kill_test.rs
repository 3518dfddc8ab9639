//! The kill test on a small scale.
#![cfg(unix)]

mod support;

use support::{fails, program, succeeds};

#[test]
fn killed_runs_end_as_the_undisturbed_one_and_leave_no_folder() {
    let root = tempfile::tempdir().expect("a folder");
    for moments in ["random", "checkpoints"] {
        let out = root.path().join(moments);
        let mut command = program("kill_test");
        command.args(["--times", "2", "--moments", moments, "--out"]).arg(&out);
        let told = succeeds(&command.output().expect("the program starts"));
        assert!(told.contains("2 of 2 trials equal"), "{told}");
        let report = std::fs::read(out.join("report.json")).expect("the report");
        let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
        assert_eq!((&report["equal"], &report["times"]), (&2.into(), &2.into()), "{report:#}");
        // Kills by the clock may all come after the end, on a machine whose speed is not even.
        assert!(moments == "random" || report["kills"].as_u64() >= Some(1), "nothing was killed: {report:#}");
        assert!(!out.join("trial-000").exists() && !out.join("trial-001").exists());
    }
}

#[test]
fn arguments_that_are_its_own_and_a_run_that_fails_are_told() {
    let root = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = program("kill_test");
        command.arg("--out").arg(root.path().join("run")).arg("--").args(arguments);
        command.output().expect("the program starts")
    };
    fails(&run(&["--resume"]), &["--resume", "leave it out"]);
    fails(&run(&["--plan", "WARP3"]), &["the program failed", "WARP3"]);
}
