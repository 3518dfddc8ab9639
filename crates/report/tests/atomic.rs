//! Files that are whole or not there.

use std::fs;

use cola_report::{Error, write_atomically};

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
    let error = write_atomically(&path, b"new").unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the partial file is gone");
}

#[test]
fn errors_name_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_atomically(folder.path().join("missing/run.json"), b"x").unwrap_err();
    assert!(error.to_string().contains("missing/run.json"), "{error}");
    assert!(matches!(write_atomically("/", b"x"), Err(Error::NoFileName { .. })));
}
