//! Disks that are full or cannot be written to: a typed error that says so, and the older checkpoint as it was.

use std::error::Error as _;
use std::io::ErrorKind;

use cola_coevolve::{Error, checkpoint};
use cola_files::faults::{Plan, count, inject};

use crate::runs::{assert_same, fresh, newest, resumed};

fn words(error: &Error) -> String {
    let rest = std::iter::successors(error.source(), |error| (*error).source());
    rest.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

/// The disk is full from each operation of a save on, one after the other.
#[test]
fn disk_full() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = crate::support::config("LAM4");
    (config.data.workers, config.schedule.checkpoint_every, config.schedule.keep) = (0, 2, 1);
    let (mut run, clips) = fresh(&config);
    let through = root.path().join("through");
    let (trained, operations) = count(|| run.train(&clips, None, &through, &mut []).map_err(Box::new));
    trained.expect("training");
    let expected = newest(&through);

    let mut refused = 0;
    for at in (operations / 2..=operations).step_by(3) {
        let folder = root.path().join(format!("full-{at}"));
        let (mut run, _) = fresh(&config);
        let disk = inject(Plan::fail_from(at, ErrorKind::StorageFull));
        let result = run.train(&clips, None, &folder, &mut []);
        drop(disk);
        drop(run);
        let Err(error) = result else { continue };
        refused += 1;
        let text = words(&error);
        assert!(text.contains("room") && text.contains(&*folder.to_string_lossy()), "operation {at}: {text}");
        let left = checkpoint::list(&folder);
        assert_eq!(left.len(), 1, "operation {at}: {left:?}");
        checkpoint::verify(&left[0]).expect("the older checkpoint");
        let half = std::fs::read_dir(&folder)
            .expect("a folder")
            .any(|entry| entry.expect("an entry").file_name().to_string_lossy().ends_with(".part"));
        assert!(!half, "operation {at}: the unfinished checkpoint still takes room");
        // With room again, going on gives the same end.
        resumed(&folder).train(&clips, None, &folder, &mut []).expect("training");
        assert_same(&newest(&folder), &expected, &format!("operation {at}"));
    }
    assert!(refused > 5, "only {refused} saves were refused");
}

/// Nothing may be written at all: said before the first step is computed.
#[test]
fn read_only_output() {
    let root = tempfile::tempdir().expect("a folder");
    let config = crate::support::config("LAM4");
    let (mut run, clips) = fresh(&config);
    let disk = inject(Plan::fail_from(1, ErrorKind::ReadOnlyFilesystem));
    let folder = root.path().join("read-only");
    let error = run.train(&clips, None, &folder, &mut []).expect_err("a read-only disk");
    drop(disk);
    assert_eq!(run.step(), 0, "no step is worth computing that cannot be saved");
    let text = words(&error);
    assert!(matches!(error, Error::Claim(_)) && text.contains("read-only"), "{text}");
    assert!(text.contains("--out"), "{text}");
    run.train(&clips, None, &root.path().join("writable"), &mut []).expect("another folder will do");
}
