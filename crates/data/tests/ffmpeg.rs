//! The program `ffmpeg` at work, and programs that misbehave. What it decodes is compared in `decoding.rs`.
#![cfg(all(feature = "ffmpeg", unix))]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cola_data::{Error, VideoFile};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Runs the test `name` of this file in a process of its own in which `COLA_FFMPEG` is set.
fn with_program(name: &str, program: &Path) {
    let this = std::env::current_exe().unwrap();
    let mut test = Command::new(this);
    let done = test.args(["--ignored", "--exact", name]).env("COLA_FFMPEG", program).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// `ffmpeg` and `ffprobe` as scripts: the first is `script`, the second the true one.
fn scripted(script: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ffmpeg", script), ("ffprobe", "exec ffprobe \"$@\"")] {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = folder.path().join("ffmpeg");
    (folder, program)
}

/// Error of opening and reading a film that needs the program.
fn refused() -> String {
    let file = Path::new(DATA).join("hevc_open.mp4");
    let read = || {
        let video = VideoFile::open(&file)?;
        video.read(0..video.frames(), &video.full_view(), 8, |_, _| Ok::<(), Error>(()))
    };
    let error = read().expect_err("the program misbehaves");
    error.to_string()
}

#[test]
fn a_program_that_misbehaves_is_named_with_its_last_words() {
    let (_folder, program) = scripted("echo first >&2; echo no such codec >&2; exit 3");
    with_program("told_last_words", &program);
    let (_folder, program) = scripted("head -c 100 /dev/zero");
    with_program("told_half_a_picture", &program);
    let (_folder, program) = scripted("head -c 9216 /dev/zero");
    with_program("told_missing_pictures", &program);
    with_program("told_missing_program", Path::new("/no/such/ffmpeg"));
}

#[test]
#[ignore = "run by another test"]
fn told_last_words() {
    let text = refused();
    assert!(text.contains("exit status: 3") && text.contains(": no such codec;"), "{text}");
}

#[test]
#[ignore = "run by another test"]
fn told_half_a_picture() {
    let text = refused();
    assert!(text.contains("in the middle of a picture"), "{text}");
}

#[test]
#[ignore = "run by another test"]
fn told_missing_pictures() {
    let text = refused();
    assert!(text.contains("decoded 2 frames"), "{text}");
}

#[test]
#[ignore = "run by another test"]
fn told_missing_program() {
    let text = refused();
    assert!(text.contains("ffprobe` cannot be started") && text.contains("COLA_FFMPEG"), "{text}");
}

#[test]
fn names_that_look_like_options_or_addresses_are_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["-y.webm", "pipe:0.webm", "http:film%03d.webm", "a b'c\".webm"] {
        let file = folder.path().join(name);
        std::fs::copy(Path::new(DATA).join("vp9_hidden.webm"), &file).unwrap();
        assert_eq!(VideoFile::open(&file).unwrap().frames(), 30, "{name}");
    }
}

#[test]
fn a_damaged_container_is_an_error_with_the_programs_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.webm");
    let whole = std::fs::read(Path::new(DATA).join("vp9_hidden.webm")).unwrap();
    std::fs::write(&file, &whole[..64]).unwrap();
    let text = VideoFile::open(&file).err().expect("no pictures").to_string();
    assert!(text.contains("film.webm") && text.contains("ffprobe"), "{text}");
}

#[test]
fn times_are_those_of_the_container() {
    let video = VideoFile::open(&Path::new(DATA).join("vp9_hidden.webm")).unwrap();
    assert!((video.mean_rate().unwrap() - 10.0).abs() < 1e-6);
    assert!((video.times()[7] - 0.7).abs() < 1e-6);
}
