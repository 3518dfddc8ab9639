//! Folders with one writer.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use cola_files::{ClaimError, FolderLock, Holder};

fn held(error: ClaimError) -> Option<Holder> {
    match error {
        ClaimError::Held { holder, .. } => holder.map(|holder| *holder),
        other => panic!("it is held, found {other:?}"),
    }
}

#[test]
fn the_second_claim_is_refused_with_the_holders_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("out/run");
    let lock = FolderLock::claim(&run, "coevolve").unwrap();
    let error = FolderLock::claim(&run, "evaluate").unwrap_err();
    let process = std::process::id();
    let text = error.to_string();
    for part in [
        &run.display().to_string(),
        &format!("coevolve, process {process} on "),
        " UTC, works in this folder",
        &format!("kill {process}"),
        "--out",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let holder = held(error).expect("a name");
    assert_eq!((holder.program.as_str(), holder.process), ("coevolve", process));
    assert!(holder.is_here());
    assert_eq!(holder.since.len(), "2026-11-23 10:12:05 UTC".len());
    drop(lock);
    assert!(!run.join(".holder").exists());
    FolderLock::claim(&run, "evaluate").unwrap();
}

#[test]
fn a_holder_elsewhere_is_to_be_stopped_there() {
    let folder = tempfile::tempdir().unwrap();
    let _lock = FolderLock::claim(folder.path(), "coevolve").unwrap();
    let note = "program: coevolve\u{1b}[31m\nprocess: 77\nhost: not-this-machine\nsince: then\n";
    fs::write(folder.path().join(".holder"), note).unwrap();
    let text = FolderLock::claim(folder.path(), "coevolve").unwrap_err().to_string();
    assert!(text.contains("process 77 on not-this-machine, since then"), "{text}");
    assert!(text.contains("stop it there (kill 77)"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn a_holder_without_a_name_that_can_be_read_is_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let _lock = FolderLock::claim(folder.path(), "coevolve").unwrap();
    let long = "program: ".to_owned() + &"x".repeat(1 << 20) + "\nprocess: 1\nhost: h\nsince: s\n";
    for note in ["", "program: x\nprocess: many\nhost: h\nsince: s\n", "\u{0}", &long] {
        fs::write(folder.path().join(".holder"), note).unwrap();
        let error = FolderLock::claim(folder.path(), "coevolve").unwrap_err();
        assert!(error.to_string().contains("another program works in this folder"), "{error}");
        assert_eq!(held(error), None);
    }
}

#[test]
fn what_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = FolderLock::claim(&path, "coevolve").unwrap_err();
        assert!(matches!(error, ClaimError::Unusable { .. }), "{error:?}");
    }
}

/// Not a test by itself: another process that holds a folder until it is killed.
#[test]
fn holds_a_folder_when_told_to() {
    let Ok(folder) = std::env::var("COLA_FILES_HOLD") else { return };
    let _lock = FolderLock::claim(folder, "holder").unwrap();
    println!("\nholding");
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[test]
fn a_killed_holder_leaves_the_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_folder_when_told_to", "--nocapture"])
        .env("COLA_FILES_HOLD", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "holding"));
    let found = held(FolderLock::claim(folder.path(), "coevolve").unwrap_err()).expect("a name");
    assert_eq!((found.program.as_str(), found.process), ("holder", holder.id()));

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(folder.path().join(".holder").exists(), "the dead clean nothing up");
    let _lock = FolderLock::claim(folder.path(), "coevolve").unwrap();
    let found = held(FolderLock::claim(folder.path(), "coevolve").unwrap_err()).expect("a name");
    assert_eq!(found.process, std::process::id());
}

#[test]
fn the_name_can_be_read_while_the_folder_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let _lock = FolderLock::claim(folder.path(), "coevolve").unwrap();
    let lines = BufReader::new(File::open(folder.path().join(".holder")).unwrap()).lines();
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(lines[0], "program: coevolve");
    assert_eq!(lines[1], format!("process: {}", std::process::id()));
}
