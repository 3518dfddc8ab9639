//! Files that are whole or not there.

use std::fs;
use std::io::Write;

use cola_files::{AtomicFile, write_atomically};

#[test]
fn a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    write_atomically(&path, b"a longer first version").unwrap();
    write_atomically(&path, b"second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_write_left_behind_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".run.json.partial"), b"half of something very long").unwrap();
    write_atomically(folder.path().join("run.json"), b"whole").unwrap();
    assert_eq!(fs::read(folder.path().join("run.json")).unwrap(), b"whole");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_write_that_fails_keeps_the_old_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), b"kept").unwrap();
    write_atomically(&path, b"new").unwrap_err();
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the partial file is gone");
}

#[test]
fn the_old_file_stays_when_there_is_no_place_for_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, b"old").unwrap();
    fs::create_dir(folder.path().join(".run.json.partial")).unwrap();
    write_atomically(&path, b"new").unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_missing_folder_and_a_path_without_a_name_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_atomically(folder.path().join("missing/run.json"), b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(write_atomically("/", b"x").unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_file_dropped_before_its_commit_leaves_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    fs::write(&path, b"old").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(&[0; 1 << 16]).unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
