//! A disk that fails at a chosen operation, and what is left then.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use cola_files::faults::{Plan, count, inject};
use cola_files::{
    AtomicFile, ClaimError, FolderLock, finish_removals, make_folder, remove_folder, rename, sync_folder,
    write_atomically,
};

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_write_has_five_operations_and_a_death_at_each_leaves_the_old_file_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let (written, operations) = count(|| write_atomically(&path, b"old"));
    written.unwrap();
    assert_eq!(operations, 5, "create, write, sync, rename, sync of the folder");
    for at in 1..=operations {
        let disk = inject(Plan::die_at(at));
        write_atomically(&path, b"new").unwrap_err();
        assert!(disk.has_failed());
        drop(disk);
        let expected: &[u8] = if at < 5 { b"old" } else { b"new" };
        assert_eq!(fs::read(&path).unwrap(), expected, "death at operation {at}");
    }
}

#[test]
fn the_dead_write_half_and_clean_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let disk = inject(Plan::die_at(2));
    let error = write_atomically(&path, b"12345678").unwrap_err();
    assert!(error.to_string().contains("operation 2"), "{error}");
    make_folder(&folder.path().join("later")).unwrap_err();
    write_atomically(folder.path().join("later.json"), b"x").unwrap_err();
    drop(disk);
    assert_eq!(names(folder.path()), [".run.json.partial"]);
    assert_eq!(fs::read(folder.path().join(".run.json.partial")).unwrap(), b"1234");
    write_atomically(&path, b"whole").unwrap();
    assert_eq!(names(folder.path()), ["run.json"]);
}

#[test]
fn bytes_that_wait_in_a_buffer_do_not_reach_the_file_of_the_dead() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = AtomicFile::create(folder.path().join("rows.csv")).unwrap();
    file.write_all(b"1,2,3\n").unwrap();
    let disk = inject(Plan::die_at(1));
    drop(file);
    drop(disk);
    assert_eq!(fs::read(folder.path().join(".rows.csv.partial")).unwrap(), b"");
}

#[test]
fn a_full_disk_refuses_what_needs_room_and_still_removes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    write_atomically(&path, b"old").unwrap();
    for at in 1..=3 {
        let disk = inject(Plan::fail_from(at, ErrorKind::StorageFull));
        let error = write_atomically(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        make_folder(&folder.path().join("more")).unwrap_err();
        drop(disk);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["run.json"], "the partial file makes room again");
    }
    let filled = folder.path().join("filled");
    make_folder(&filled).unwrap();
    write_atomically(filled.join("a"), b"a").unwrap();
    let disk = inject(Plan::fail_from(1, ErrorKind::StorageFull));
    remove_folder(&filled).unwrap();
    assert!(!disk.has_failed());
    assert_eq!(names(folder.path()), ["run.json"]);
}

#[test]
fn a_read_only_disk_refuses_everything() {
    let folder = tempfile::tempdir().unwrap();
    let filled = folder.path().join("filled");
    make_folder(&filled).unwrap();
    let disk = inject(Plan::fail_from(1, ErrorKind::ReadOnlyFilesystem));
    remove_folder(&filled).unwrap_err();
    rename(&filled, &folder.path().join("other")).unwrap_err();
    sync_folder(&filled).unwrap_err();
    let error = write_atomically(filled.join("a"), b"a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    drop(disk);
    assert_eq!(names(&filled), [""; 0]);
}

#[test]
fn a_folder_that_is_removed_is_whole_or_not_there() {
    let fill = |folder: &Path| {
        make_folder(&folder.join("below/deeper")).unwrap();
        for name in ["state.json", "below/a", "below/deeper/b"] {
            write_atomically(folder.join(name), b"kept").unwrap();
        }
    };
    let root = tempfile::tempdir().unwrap();
    let old = root.path().join("step-1");
    fill(&old);
    let (removed, operations) = count(|| remove_folder(&old));
    removed.unwrap();
    assert_eq!(operations, 8, "rename, sync, three files, three folders");
    assert_eq!(names(root.path()), [""; 0]);

    for at in 1..=operations {
        fill(&old);
        let disk = inject(Plan::die_at(at));
        remove_folder(&old).unwrap_err();
        drop(disk);
        if at == 1 {
            assert_eq!(fs::read(old.join("below/deeper/b")).unwrap(), b"kept");
            assert_eq!(finish_removals(root.path()).unwrap(), 0);
            remove_folder(&old).unwrap();
        } else {
            assert!(!old.exists(), "death at operation {at} left a part");
            assert_eq!(finish_removals(root.path()).unwrap(), 1);
        }
        assert_eq!(names(root.path()), [""; 0]);
    }

    // The same name again finds what the dead left.
    fill(&old);
    let disk = inject(Plan::die_at(3));
    remove_folder(&old).unwrap_err();
    drop(disk);
    fill(&old);
    remove_folder(&old).unwrap();
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_plan_ends_with_its_guard_and_is_its_threads_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let outer = inject(Plan::die_at(3));
    {
        let _inner = inject(Plan::die_at(1));
        write_atomically(&path, b"x").unwrap_err();
    }
    assert_eq!(outer.operations(), 0);
    let other = path.clone();
    std::thread::spawn(move || write_atomically(other, b"another thread's")).join().unwrap().unwrap();
    write_atomically(&path, b"x").unwrap_err();
    assert_eq!(outer.operations(), 4, "create, write, sync, and the removal that failed, too");
    drop(outer);
    write_atomically(&path, b"x").unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_to_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let (lock, operations) = count(|| FolderLock::claim(folder.path(), "coevolve"));
    drop(lock.unwrap());
    for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        for at in 1..=operations {
            let disk = inject(Plan::fail_from(at, kind));
            let error = FolderLock::claim(folder.path(), "coevolve").unwrap_err();
            drop(disk);
            assert!(matches!(error, ClaimError::ReadOnly { .. }), "{error:?}");
            for part in [&*folder.path().display().to_string(), "cannot be written to", "chmod", "--out"] {
                assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
            }
        }
    }
    let disk = inject(Plan::fail_from(2, ErrorKind::StorageFull));
    let error = FolderLock::claim(folder.path(), "coevolve").unwrap_err();
    drop(disk);
    assert!(matches!(error, ClaimError::Unusable { .. }), "{error:?}");
    FolderLock::claim(folder.path(), "coevolve").expect("a claim that failed holds nothing");
}
