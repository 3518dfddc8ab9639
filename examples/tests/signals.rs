//! A run that is asked to stop, as a terminal, a scheduler or `kill` asks.
#![cfg(unix)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{fails, program, succeeds};

const SHORT: [&str; 16] = [
    "--scale",
    "smoke",
    "--plan",
    "LAM2+WARM2+E2E2",
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
    "schedule.log_every=1",
];
/// No machine is too slow for this.
const PATIENCE: Duration = Duration::from_secs(600);

fn coevolve(out: &Path, arguments: &[&str]) -> Command {
    let mut command = program("coevolve");
    command.arg("--out").arg(out).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn shell(line: &str) {
    assert!(Command::new("sh").args(["-c", line]).status().expect("a shell").success(), "{line}");
}

fn send(signal: &str, child: &Child) {
    shell(&format!("kill -{signal} {}", child.id()));
}

/// A pipe in place of a file: whoever opens it waits.
fn pipe(file: &Path) {
    shell(&format!("mkfifo '{}'", file.display()));
}

/// A program that waits until its log can be read, with training under way.
struct Held {
    child: Child,
    log: PathBuf,
    content: Vec<u8>,
    writer: Option<File>,
}

impl Held {
    fn resume(out: &Path) -> Self {
        Self::start(out, &mut coevolve(out, &["--resume"]))
    }

    fn start(out: &Path, command: &mut Command) -> Self {
        let log = out.join("log.jsonl");
        let content = fs::read(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        pipe(&log);
        let mut child = command.spawn().expect("the program starts");
        let (at, opened) = std::sync::mpsc::channel();
        let path = log.clone();
        std::thread::spawn(move || at.send(OpenOptions::new().write(true).open(path)));
        let begun = Instant::now();
        loop {
            if let Ok(writer) = opened.recv_timeout(Duration::from_millis(20)) {
                let writer = Some(writer.expect("the pipe"));
                return Self { child, log, content, writer };
            }
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it never trained: {ended:?}");
        }
    }

    /// Standard error up to the line that answers the first signal.
    fn answer(&mut self) -> BufReader<std::process::ChildStderr> {
        let mut told = BufReader::new(self.child.stderr.take().expect("standard error"));
        let mut line = String::new();
        while !line.contains("stopping after this step; a second Ctrl-C stops at once") {
            line.clear();
            assert_ne!(told.read_line(&mut line).expect("a line"), 0, "it ended without an answer");
        }
        told
    }

    /// Puts the log back; the program goes on.
    fn release(&mut self) {
        let back = self.log.with_extension("back");
        fs::write(&back, &self.content).expect("the log");
        fs::rename(&back, &self.log).expect("the log's place");
        let mut writer = self.writer.take().expect("a held program");
        std::io::Write::write_all(&mut writer, &self.content).expect("what the program waits for");
    }
}

/// As `nohup` starts it.
fn without_hang_up(out: &Path) -> Command {
    let program = coevolve(out, &["--resume"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The set of signals that a program listens to, bit `n - 1` for signal `n`.
fn caught(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("the process");
    let set = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a set of signals");
    u64::from_str_radix(set.trim(), 16).expect("a number")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("a name")).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// What was learned, logged and measured.
fn result(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let newest = out.join("checkpoints/step-00000006");
    let mut files: Vec<PathBuf> = names(&newest).iter().map(|name| newest.join(name)).collect();
    files.extend(["log.jsonl", "evaluation.json"].map(|name| out.join(name)));
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(out).expect("below the run").to_path_buf(), bytes)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn a_signal_saves_that_very_step_a_second_one_ends_at_once_and_the_bits_are_those_of_an_undisturbed_run() {
    let root = tempfile::tempdir().expect("a folder");
    let through = root.path().join("through");
    succeeds(&coevolve(&through, &SHORT).output().expect("the program starts"));

    // A run that was killed before its first step.
    let out = root.path().join("stopped");
    fs::create_dir(&out).expect("a folder");
    for name in ["config.toml", "sources.json"] {
        if through.join(name).is_file() {
            fs::copy(through.join(name), out.join(name)).expect("a file");
        }
    }
    let checkpoints = out.join("checkpoints");
    for (step, signal) in [(1, "TERM"), (2, "INT")] {
        let mut held = Held::resume(&out);
        send(signal, &held.child);
        let mut told = held.answer();
        held.release();
        let mut rest = String::new();
        told.read_to_string(&mut rest).expect("what it says");
        assert_eq!(held.child.wait().expect("a child").code(), Some(75), "SIG{signal}: {rest}");
        assert!(rest.contains(&format!("stopped after step {step} as asked")), "SIG{signal}: {rest}");
        let newest = names(&checkpoints).pop();
        assert_eq!(newest, Some(format!("step-{step:08}")), "SIG{signal}");
    }

    let mut held = Held::start(&out, &mut without_hang_up(&out));
    if cfg!(target_os = "linux") {
        let caught = caught(&held.child);
        assert_eq!([1, 2, 15].map(|signal| caught & (1 << (signal - 1)) != 0), [false, true, true]);
    }
    send("TERM", &held.child);
    let _told = held.answer();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = held.child.try_wait().expect("a child") {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "signals do not end it");
        // It may be gone by now.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", held.child.id())]).output();
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status.code(), Some(130));
    fs::write(out.join("log.back"), &held.content).expect("the log");
    fs::rename(out.join("log.back"), out.join("log.jsonl")).expect("the log's place");
    assert_eq!(names(&checkpoints), ["step-00000001", "step-00000002"], "nothing is lost, nothing is new");

    succeeds(&coevolve(&out, &["--resume"]).output().expect("the program starts"));
    for ((name, found), (expected_name, expected)) in result(&out).iter().zip(&result(&through)) {
        assert_eq!(name, expected_name);
        assert!(found == expected, "{} differs", name.display());
    }

    // After training: the evaluation cannot end, because its pictures cannot be written.
    let pictures = out.join(".rollouts.gif.partial");
    pipe(&pictures);
    let mut child = coevolve(&out, &["--resume"]).spawn().expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("standard output")).read_line(&mut first).expect("a line");
    send("TERM", &child);
    let output = child.wait_with_output().expect("a child");
    fails(&output, &["--resume goes on"]);
    assert_eq!(output.status.code(), Some(75));
    fs::remove_file(pictures).expect("the pipe");
}
