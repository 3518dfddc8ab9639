//! What a run leaves at its evaluations.

#[expect(dead_code, reason = "shared by tests that need different parts of it")]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{program, succeeds};

const SHORT: [&str; 16] = [
    "--scale",
    "smoke",
    "--plan",
    "LAM5+WARM10",
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
    "--set",
    "schedule.checkpoint_every=5",
];
const EVALUATE: [&str; 2] = ["--set", "schedule.evaluate_every=5"];

fn command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = program("coevolve");
    command.arg("--out").arg(out).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("a file").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn evaluations_leave_pictures_and_scores_and_change_no_bit() {
    let root = tempfile::tempdir().expect("a folder");
    let (without, with, killed) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
    succeeds(&command(&without, &SHORT).output().expect("the program starts"));
    let arguments: Vec<&str> = SHORT.into_iter().chain(EVALUATE).collect();
    succeeds(&command(&with, &arguments).output().expect("the program starts"));
    assert!(!without.join("evaluations").exists());

    // LAM phases have no rollouts.
    let steps = ["00000010", "00000015"];
    let expected: Vec<String> = steps
        .iter()
        .flat_map(|step| ["gif", "json", "png"].map(|ending| format!("step-{step}.{ending}")))
        .collect();
    let folder = with.join("evaluations");
    assert_eq!(files(&folder), expected);
    let json = std::fs::read(folder.join("step-00000010.json")).expect("scores");
    let told: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&told["step"], &told["phase"]), (&10.into(), &"WARM".into()));
    assert!(told["evaluation"]["rollout"]["true_actions"].is_number(), "{told}");
    let strip = image::open(folder.join("step-00000010.png")).expect("a picture");
    assert!(strip.width() > 100 && strip.height() > 100);
    let mut film = gif::DecodeOptions::new()
        .read_info(std::fs::File::open(folder.join("step-00000010.gif")).expect("a film"))
        .expect("a GIF");
    let mut frames = 0;
    while film.read_next_frame().expect("a frame").is_some() {
        frames += 1;
    }
    assert_eq!(frames, 3, "horizon 2 and the given frame");
    let tensors = ["lam", "fdm", "action", "backbone"].map(|set| format!("{set}.safetensors"));
    let newest = |out: &Path| out.join("checkpoints/step-00000015");
    let learned = |out: &Path| {
        let bytes =
            |name: &String| std::fs::read(newest(out).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        tensors.iter().map(bytes).collect::<Vec<_>>()
    };
    assert!(learned(&without) == learned(&with), "an evaluation changed what is learned");
    let log = |out: &Path| std::fs::read(out.join("log.jsonl")).expect("a log");
    assert!(log(&without) == log(&with), "an evaluation changed the records");

    // Killed after an evaluation that its last checkpoint does not know, and damaged there.
    let mut child = command(&killed, &arguments).spawn().expect("the program starts");
    let seen = killed.join("evaluations/step-00000010.json");
    let deadline = Instant::now() + Duration::from_secs(300);
    while !seen.exists() && child.try_wait().expect("a child").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().expect("a child");
    std::fs::write(&seen, "half").expect("a file");
    for step in ["00000010", "00000015"] {
        std::fs::remove_dir_all(killed.join(format!("checkpoints/step-{step}"))).ok();
    }
    succeeds(&command(&killed, &["--resume"]).output().expect("the program starts"));
    for name in &expected {
        let bytes = |out: &Path| std::fs::read(out.join("evaluations").join(name)).expect("a file");
        assert!(bytes(&with) == bytes(&killed), "{name} differs after a resume");
    }
    assert_eq!(std::fs::read(with.join("curves.png")).ok(), std::fs::read(killed.join("curves.png")).ok());
}
