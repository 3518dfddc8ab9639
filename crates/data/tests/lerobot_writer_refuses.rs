//! What a writer of LeRobot data sets refuses, and what a disk that refuses does to it.

#[path = "support/example.rs"]
mod example;

use std::fs;
use std::ops::Range;
use std::path::Path;

use cola_data::{Camera, Dataset, Error, FileLimits, LeRobot, LeRobotLayout, LeRobotWriter, PictureStore};
use example::{files, layout, one_camera, push, write};

/// PictureStore, action and state of a frame.
type Given<'a> = (&'a [&'a [u8]], &'a [f32], &'a [f32]);
type Splits<'a> = &'a [(&'a str, Range<usize>)];

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let error = LeRobotWriter::create(folder.path(), &layout(PictureStore::Png)).err().unwrap();
    assert!(matches!(error, Error::Setting { field: "root", .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn layouts_that_no_data_set_has_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    let good = one_camera(10.0, PictureStore::default());
    let camera =
        |key: &str, size| LeRobotLayout { cameras: vec![Camera { key: key.into(), size }], ..good.clone() };
    let limits = FileLimits { video_mb: 0, ..FileLimits::default() };
    let wrong = [
        (camera("top", Some((17, 16))), "even sides"),
        (camera("top", Some((16, 31))), "resize"),
        (camera("top", Some((14, 16))), "16 or more"),
        (camera("top", None), "one size"),
        (camera("../top", Some((16, 16))), "folder names"),
        (camera("..", Some((16, 16))), "folder names"),
        (camera("action", Some((16, 16))), "folder names"),
        (camera("", Some((16, 16))), "folder names"),
        (LeRobotLayout { cameras: vec![good.cameras[0].clone(); 2], ..good.clone() }, "all different"),
        (LeRobotLayout { cameras: Vec::new(), ..good.clone() }, "at least one"),
        (LeRobotLayout { fps: f64::NAN, ..good.clone() }, "layout.fps"),
        (LeRobotLayout { fps: 0.0, ..good.clone() }, "layout.fps"),
        (LeRobotLayout { limits, ..good.clone() }, "layout.limits"),
    ];
    for (layout, expected) in wrong {
        let error = LeRobotWriter::create(&root, &layout).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!root.exists());
    }
    let odd = LeRobotLayout { pictures: PictureStore::Png, ..camera("top", Some((17, 3))) };
    assert!(LeRobotWriter::create(&root, &odd).is_ok());
}

#[test]
fn a_frame_that_does_not_fit_is_refused_and_the_episode_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let layout =
        LeRobotLayout { action_names: vec!["dx".into()], ..one_camera(10.0, PictureStore::default()) };
    let mut writer = LeRobotWriter::create(folder.path(), &layout).unwrap();
    let picture: &[u8] = &[9; 768];
    assert!(matches!(writer.end_episode(""), Err(Error::Setting { field: "episode", .. })));
    let wrong: [Given<'_>; 6] = [
        (&[], &[0.0], &[]),
        (&[picture, picture], &[0.0], &[]),
        (&[&picture[1..]], &[0.0], &[]),
        (&[picture], &[], &[]),
        (&[picture], &[0.0], &[1.0]),
        (&[picture], &[f32::NAN], &[]),
    ];
    writer.frame(&[picture], &[1.0], &[]).unwrap();
    for (pictures, action, state) in wrong {
        let error = writer.frame(pictures, action, state).unwrap_err();
        assert!(matches!(error, Error::Rows { .. }), "{error}");
        assert!(error.to_string().contains("episode 0, frame 1"), "{error}");
    }
    writer.frame(&[picture], &[2.0], &[]).unwrap();
    writer.end_episode("").unwrap();
    writer.finish(&[]).unwrap();
    assert_eq!(LeRobot::open(folder.path()).unwrap().rows(&[0]).unwrap()[0].actions, [1.0, 2.0]);
}

#[test]
fn a_set_that_is_not_complete_cannot_be_finished() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |name: &str, frames: usize| {
        let mut writer =
            LeRobotWriter::create(&folder.path().join(name), &one_camera(10.0, PictureStore::Png)).unwrap();
        (0..frames).for_each(|_| writer.frame(&[&[9; 768]], &[], &[]).unwrap());
        writer
    };
    assert!(matches!(begin("none", 0).finish(&[]), Err(Error::Setting { field: "episodes", .. })));
    assert!(matches!(begin("open", 2).finish(&[]), Err(Error::Setting { field: "episodes", .. })));
    let splits: [(&str, Splits<'_>); 3] =
        [("past", &[("train", 0..2)]), ("twice", &[("a", 0..1), ("a", 0..1)]), ("nameless", &[("", 0..1)])];
    for (name, splits) in splits {
        let mut writer = begin(name, 1);
        writer.end_episode("").unwrap();
        assert!(matches!(writer.finish(splits), Err(Error::Setting { field: "splits", .. })));
        assert!(!folder.path().join(name).join("meta/info.json").exists());
    }
}

#[test]
fn a_disk_that_refuses_is_a_typed_error_and_the_set_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = LeRobotWriter::create(&file.join("set"), &layout(PictureStore::Png)).err().unwrap();
    assert!(matches!(error, Error::Write { .. }), "{error}");

    let root = folder.path().join("set");
    let mut writer = LeRobotWriter::create(&root, &layout(PictureStore::default())).unwrap();
    fs::remove_dir_all(&root).unwrap();
    fs::write(&root, "").unwrap();
    let error = push(&mut writer, 0, 0).unwrap_err();
    assert!(matches!(&error, Error::Write { file, .. } if file.starts_with(&root)), "{error}");
    for error in [
        push(&mut writer, 0, 0).unwrap_err(),
        writer.end_episode("").unwrap_err(),
        writer.finish(&[]).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Write { file, .. } if *file == root), "{error}");
    }
}

/// The writing half of the next test, in a process of its own; does nothing without the variable.
#[test]
fn writes_where_the_variable_says() {
    let Some(root) = std::env::var_os("COLA_FULL_DISK") else { return };
    let error = write(Path::new(&root), &layout(PictureStore::Png)).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    // Files of at most 16 blocks of 512 bytes; without the trap the system would end the process.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact writes_where_the_variable_says";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).env("COLA_FULL_DISK", &root);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!root.join("meta/info.json").exists());
}
