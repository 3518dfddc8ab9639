//! The main job as a user runs it: killed, resumed, given wrong input.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{fails, program, succeeds};

/// A run of a few steps a phase, all outputs included.
const SHORT: [&str; 14] = [
    "--scale",
    "smoke",
    "--plan",
    "LAM10+WARM10+E2E10",
    "--set",
    "data.batch=4",
    "--set",
    "evaluation.episodes=2",
    "--set",
    "evaluation.transitions=4",
    "--set",
    "evaluation.horizon=2",
    "--set",
    "evaluation.also_guidance=[]",
];

fn command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = program("coevolve");
    command.arg("--out").arg(out).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(out: &Path, arguments: &[&str]) -> Output {
    command(out, arguments).output().expect("the program starts")
}

/// The files that say what was learned.
fn result(out: &Path) -> Vec<(String, Vec<u8>)> {
    let newest = out.join("checkpoints/step-00000030");
    let mut files: Vec<PathBuf> = std::fs::read_dir(newest)
        .expect("the last checkpoint")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.extend(
        ["log.jsonl", "curves.png", "rollouts.gif", "rollouts.png", "evaluation.json"].map(|f| out.join(f)),
    );
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(out).expect("below the output folder").display().to_string();
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, bytes)
        })
        .collect()
}

/// Kills a run as soon as this file exists (and a little later, to land inside a phase).
fn kill_after(mut child: Child, file: &Path, later: Duration) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !file.exists() && Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(file.exists(), "{} never came", file.display());
    std::thread::sleep(later);
    // Already gone is fine, too: then there was nothing left to interrupt.
    let _ = child.kill();
    child.wait().expect("a child");
}

#[test]
fn a_killed_run_resumes_to_the_same_bits_logs_and_pictures() {
    let root = tempfile::tempdir().expect("a folder");
    let through = root.path().join("through");
    let told = succeeds(&run(&through, &SHORT));
    for part in
        ["plan       LAM10+WARM10+E2E10", "unlike the paper", "true actions", "sensitivity", "curves.png"]
    {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    let expected = result(&through);

    let killed = root.path().join("killed");
    let start = |arguments: &[&str]| command(&killed, arguments).spawn().expect("the program starts");
    // Before the first checkpoint, then inside the second and the third phase.
    kill_after(start(&SHORT), &killed.join("config.toml"), Duration::ZERO);
    kill_after(start(&["--resume"]), &killed.join("checkpoints/step-00000010"), Duration::from_millis(30));
    kill_after(start(&["--resume"]), &killed.join("checkpoints/step-00000020"), Duration::from_millis(60));
    succeeds(&run(&killed, &["--resume"]));
    for ((name, found), (_, wanted)) in result(&killed).iter().zip(&expected) {
        assert_eq!(found.len(), wanted.len(), "{name}");
        assert!(found == wanted, "{name} differs");
    }
}

#[test]
fn wrong_input_is_refused_with_a_mend_and_earlier_outputs_stay() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("run");
    std::fs::create_dir(&out).expect("a folder");
    std::fs::write(out.join("config.toml"), "an earlier run").expect("a file");
    fails(&run(&out, &SHORT), &["holds a run already", "--resume", "--out"]);
    assert_eq!(std::fs::read_to_string(out.join("config.toml")).expect("the file"), "an earlier run");
    fails(&run(&out, &["--resume"]), &["config.toml"]);

    std::fs::remove_file(out.join("config.toml")).expect("the file");
    std::fs::create_dir(out.join("checkpoints")).expect("what another run left");
    fails(&run(&out, &SHORT), &["holds a run already", "checkpoints found"]);

    let busy = root.path().join("busy");
    std::fs::create_dir(&busy).expect("a folder");
    let lock = std::fs::File::create(busy.join(".lock")).expect("a lock file");
    lock.lock().expect("the lock");
    fails(&run(&busy, &SHORT), &["another program works in this folder"]);

    let free = root.path().join("free");
    fails(&run(&free, &["--resume"]), &["no run to resume", "without --resume"]);
    fails(&run(&free, &["--data", "no/such/folder"]), &["no/such/folder"]);
    fails(&run(&free, &["--set", "lam.colour=3"]), &["there is no key `lam.colour`", "codes"]);
    fails(&run(&free, &["--set", "data.frames=17", "--set", "lam.max_frames=17"]), &["16", "17"]);
    fails(&run(&free, &["--plan", "WARP3"]), &["WARP3", "WARM8K+E2E52K"]);
    fails(&run(&free, &["--device", "cuda"]), &["--device cpu"]);
    assert!(!free.join("config.toml").exists(), "a run that never began left a configuration");
}

#[test]
fn the_printed_configuration_is_one_and_touches_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("run");
    let clips = root.path().join("clips").display().to_string();
    let asked = ["--scale", "small", "--set", "optimizer.clip=2", "--data", &clips, "--seed", "3"];
    let printed = succeeds(&run(&out, &[&asked[..], &["--print-config"]].concat()));
    let file = root.path().join("my.toml");
    std::fs::write(&file, &printed).expect("a file");
    let name = file.display().to_string();
    assert_eq!(succeeds(&run(&out, &["--config", &name, "--print-config"])), printed);
    for part in ["seed = 3", "clip = 2.0", &clips, "generator = \"make\"", "# Clips of a batch.", "top = 0.0"]
    {
        assert!(printed.contains(part), "`{part}` is not in:\n{printed}");
    }
    assert!(!out.exists(), "a folder was made");

    std::fs::write(&file, "preset = \"smoke\"\n[data]\nbacth = 4\n").expect("a file");
    fails(&run(&out, &["--config", &name]), &["my.toml", "line 3", "`data.bacth`", "`data.batch`?"]);
    fails(&run(&out, &["--set", "optimiser.warmup=3"]), &["did you mean `optimizer.warmup`?"]);
    assert!(!out.exists(), "a folder was made");
}

#[test]
fn a_resumed_run_takes_what_may_change_and_a_new_one_takes_weights_only() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("run");
    succeeds(&run(&out, &SHORT));
    let stored = std::fs::read_to_string(out.join("config.toml")).expect("the configuration");

    let wrong = ["--resume", "--set", "data.batch=5", "--seed", "4", "--set", "schedule.keep=1"];
    fails(
        &run(&out, &wrong),
        &["after step 30", "data.batch is 4, wanted 5", "seed is 0, wanted 4", "--init-from"],
    );
    fails(&run(&out, &["--resume", "--plan", "LAM10+WARM30"]), &["plan is", "LAM10+WARM10+E2E10"]);
    fails(&run(&out, &["--resume", "--config", "my.toml"]), &["--resume", "--config"]);
    let kept = std::fs::read_to_string(out.join("config.toml")).expect("the configuration");
    assert_eq!(kept, stored, "a refused change was kept");

    let longer = ["--resume", "--plan", "LAM10+WARM10+E2E15", "--set", "schedule.keep=1"];
    succeeds(&run(&out, &longer));
    assert!(out.join("checkpoints/step-00000035/state.json").is_file());
    for file in ["config.toml", "checkpoints/step-00000035/config.toml"] {
        let text = std::fs::read_to_string(out.join(file)).expect("a configuration");
        assert!(text.contains("LAM10+WARM10+E2E15") && text.contains("keep = 1"), "{file}:\n{text}");
    }

    let (next, from) = (root.path().join("next"), out.display().to_string());
    // All of SHORT but its plan.
    let begin = [&SHORT[..2], &SHORT[4..], &["--init-from", &from, "--plan", "E2E5"]].concat();
    fails(&run(&next, &[&begin[..], &["--set", "lam.layers=1"]].concat()), &["lam.layers = 2 (1)"]);
    assert!(!next.join("config.toml").exists(), "a run that never began left a configuration");
    let told = succeeds(&run(&next, &begin));
    assert!(told.contains("step-00000035, no moments, no steps") && !told.contains("generator  "), "{told}");
    let text = std::fs::read_to_string(next.join("config.toml")).expect("the configuration");
    assert!(text.contains("run/checkpoints/step-00000035\""), "{text}");
}
