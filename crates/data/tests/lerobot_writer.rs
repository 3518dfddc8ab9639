//! LeRobot data sets as this crate writes them, read again; the Python package reads them too
//! (`fixtures/read_with_lerobot.py`).

#[path = "support/example.rs"]
mod example;

use std::fs;
use std::path::{Path, PathBuf};

use cola_data::{
    Camera, Dataset, Error, Frames, Layout, LeRobot, LeRobotWriter, Limits, Pictures, Region, Stretch, View,
    detect,
};
use example::{LENGTHS, SIZES, action, layout, picture, push, write};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / square).log10()
}

fn read(set: &LeRobot, camera: usize, episode: usize, frames: Vec<usize>) -> Frames {
    let (height, width) = SIZES[camera];
    let key = set.cameras()[camera].key.clone();
    set.read(&key, &Stretch { episode, frames }, &View { region: Region::FULL, height, width }).unwrap()
}

fn json(file: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A row group's rows.
fn rows(file: PathBuf) -> Vec<parquet::record::Row> {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn one_camera(fps: f64, pictures: Pictures) -> Layout {
    let camera = Camera { key: "top".into(), size: Some((16, 16)) };
    Layout { pictures, ..Layout::new(fps, vec![camera]) }
}

#[test]
fn rows_come_back_exactly_and_pictures_at_36_db_or_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    write(&root, &layout(Pictures::default())).unwrap();
    let set = LeRobot::open(&root).unwrap();
    assert_eq!(set.episodes().iter().map(|episode| episode.frames).collect::<Vec<_>>(), LENGTHS);
    assert_eq!((set.split("train").unwrap(), set.split("valid").unwrap()), (vec![0, 1], vec![2]));
    let found = set.rows(&[0, 1, 2]).unwrap();
    for (episode, (rows, length)) in found.iter().zip(LENGTHS).enumerate() {
        let actions: Vec<f32> = (0..length).flat_map(|frame| action(episode, frame)).collect();
        assert_eq!((&rows.actions, rows.action_dim), (&actions, 3));
        let times: Vec<f64> = (0..length).map(|frame| f64::from((frame as f64 / 10.0) as f32)).collect();
        assert_eq!(rows.times, times);
        for camera in 0..2 {
            let back = read(&set, camera, episode, (0..length).collect());
            for frame in 0..length {
                let quality = psnr(&picture(camera, episode, frame), back.frame(frame));
                assert!(quality > 36.0, "camera {camera}, episode {episode}, frame {frame}: {quality:.1} dB");
            }
        }
    }
}

#[test]
fn pictures_in_tables_come_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &layout(Pictures::Png)).unwrap();
    let found = rows(folder.path().join("data/chunk-000/file-000.parquet"));
    assert_eq!(found.len(), LENGTHS.iter().sum::<usize>());
    for row in found {
        let (episode, frame) = (row.get_long(6).unwrap() as usize, row.get_long(5).unwrap() as usize);
        for camera in 0..2 {
            let cell = row.get_group(camera).unwrap();
            assert_eq!(cell.get_string(1).unwrap(), &format!("frame-{frame:06}.png"));
            let mut reader = png::Decoder::new(std::io::Cursor::new(cell.get_bytes(0).unwrap().data()))
                .read_info()
                .unwrap();
            let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut rgb).unwrap();
            assert!(
                rgb == picture(camera, episode, frame),
                "camera {camera}, episode {episode}, frame {frame}"
            );
        }
    }
}

#[test]
fn texts_are_numbered_by_first_use_and_an_empty_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &layout(Pictures::default())).unwrap();
    let tasks: Vec<(i64, String)> = rows(folder.path().join("meta/tasks.parquet"))
        .iter()
        .map(|row| (row.get_long(0).unwrap(), row.get_string(1).unwrap().clone()))
        .collect();
    assert_eq!(tasks, [(0, "push the block".to_owned()), (1, String::new())]);
    let episodes = rows(folder.path().join("meta/episodes/chunk-000/file-000.parquet"));
    for (row, expected) in episodes.iter().zip(example::TASKS) {
        assert_eq!(row.get_list(1).unwrap().elements(), [Field::Str(expected.into())]);
    }
    assert_eq!(json(folder.path().join("meta/info.json"))["total_tasks"], 2);
}

/// The statistics that LeRobot 0.4.4 computes of the example, by `fixtures/read_with_lerobot.py --stats`. Mean and
/// deviation are those of the values in 64 bits, see `Summary`.
#[test]
fn statistics_are_those_of_lerobot() {
    let expected: Value = serde_json::from_str(include_str!("data/lerobot_stats.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &layout(Pictures::default())).unwrap();
    let found = json(folder.path().join("meta/stats.json"));
    assert_eq!(found.as_object().unwrap().len(), 9);
    for (key, statistics) in expected.as_object().unwrap() {
        for (name, expected) in statistics.as_object().unwrap() {
            let found = &found[key][name];
            let (found, expected) = (flat(found), flat(expected));
            assert_eq!(found.len(), expected.len(), "{key}/{name}");
            for (found, expected) in found.iter().zip(&expected) {
                let close = (found - expected).abs() <= 1e-6 * expected.abs().max(1.0);
                assert!(close, "{key}/{name}: {found}, LeRobot has {expected}");
            }
        }
    }
}

/// The numbers of nested lists.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

#[test]
fn new_files_begin_where_the_limits_say() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { data_mb: 1, video_seconds: 0.5, ..Limits::default() };
    let names = (0..1000).map(|name| name.to_string()).collect();
    let layout = Layout { limits, action_names: names, ..one_camera(10.0, Pictures::default()) };
    let mut writer = LeRobotWriter::create(folder.path(), &layout).unwrap();
    let mut state = 1_u32;
    for episode in 0..3 {
        for _ in 0..300 {
            // Noise, which does not compress.
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32
            };
            let action: Vec<f32> = (0..1000).map(|_| noise()).collect();
            writer.frame(&[&[60 * episode; 768]], &action, &[]).unwrap();
        }
        writer.end_episode("").unwrap();
    }
    writer.finish(&[]).unwrap();
    for name in ["data/chunk-000/file-002.parquet", "videos/top/chunk-000/file-002.mp4"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let set = LeRobot::open(folder.path()).unwrap();
    assert_eq!(set.split("train").unwrap(), [0, 1, 2]);
    assert_eq!(set.rows(&[2]).unwrap()[0].actions.len(), 300_000);
    let view = View { region: Region::FULL, height: 16, width: 16 };
    for (episode, expected) in [0_u8, 60, 120].into_iter().enumerate() {
        let back = set.read("top", &Stretch { episode, frames: vec![0, 299] }, &view).unwrap();
        assert!(back.rgb.iter().all(|value| value.abs_diff(expected) <= 2), "episode {episode}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_a_reader_takes_for_a_data_set() {
    for done in [0, 1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = LeRobotWriter::create(folder.path(), &layout(Pictures::default())).unwrap();
        for (episode, length) in LENGTHS.into_iter().enumerate().take(done) {
            (0..length).for_each(|frame| push(&mut writer, episode, frame).unwrap());
            writer.end_episode("").unwrap();
        }
        push(&mut writer, 0, 0).unwrap();
        // A kill runs no destructor.
        std::mem::forget(writer);
        assert!(LeRobot::open(folder.path()).is_err());
        assert!(detect(folder.path()).is_err());
        let named: Vec<_> = files(folder.path())
            .into_iter()
            .filter(|file| !file.file_name().unwrap().to_string_lossy().ends_with(".partial"))
            .collect();
        assert!(named.is_empty(), "{named:?}");
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = LeRobotWriter::create(folder.path(), &layout(Pictures::Png)).unwrap();
    push(&mut writer, 0, 0).unwrap();
    writer.end_episode("").unwrap();
    drop(writer);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str| {
        let root = folder.path().join(name);
        write(&root, &layout(Pictures::default())).unwrap();
        let files = files(&root);
        files
            .iter()
            .map(|file| (file.strip_prefix(&root).unwrap().to_owned(), fs::read(file).unwrap()))
            .collect::<Vec<_>>()
    };
    let (first, second) = (written("a"), written("b"));
    assert_eq!(first.len(), 7);
    assert!(first == second);
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let error = LeRobotWriter::create(folder.path(), &layout(Pictures::Png)).err().unwrap();
    assert!(matches!(error, Error::Setting { field: "root", .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn layouts_that_no_data_set_has_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    let good = one_camera(10.0, Pictures::default());
    let camera = |key: &str, size| Layout { cameras: vec![Camera { key: key.into(), size }], ..good.clone() };
    let limits = Limits { video_mb: 0, ..Limits::default() };
    let wrong = [
        (camera("top", Some((17, 16))), "even sides"),
        (camera("top", Some((16, 31))), "resize"),
        (camera("top", Some((14, 16))), "16 or more"),
        (camera("top", None), "one size"),
        (camera("../top", Some((16, 16))), "folder names"),
        (camera("..", Some((16, 16))), "folder names"),
        (camera("action", Some((16, 16))), "folder names"),
        (camera("", Some((16, 16))), "folder names"),
        (Layout { cameras: vec![good.cameras[0].clone(); 2], ..good.clone() }, "all different"),
        (Layout { cameras: Vec::new(), ..good.clone() }, "at least one"),
        (Layout { fps: f64::NAN, ..good.clone() }, "layout.fps"),
        (Layout { fps: 0.0, ..good.clone() }, "layout.fps"),
        (Layout { limits, ..good.clone() }, "layout.limits"),
    ];
    for (layout, expected) in wrong {
        let error = LeRobotWriter::create(&root, &layout).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!root.exists());
    }
    let odd = Layout { pictures: Pictures::Png, ..camera("top", Some((17, 3))) };
    assert!(LeRobotWriter::create(&root, &odd).is_ok());
}

#[test]
fn a_frame_that_does_not_fit_is_refused_and_the_episode_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout { action_names: vec!["dx".into()], ..one_camera(10.0, Pictures::default()) };
    let mut writer = LeRobotWriter::create(folder.path(), &layout).unwrap();
    let picture: &[u8] = &[9; 768];
    assert!(matches!(writer.end_episode(""), Err(Error::Setting { field: "episode", .. })));
    let wrong: [(&[&[u8]], &[f32], &[f32]); 6] = [
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
            LeRobotWriter::create(&folder.path().join(name), &one_camera(10.0, Pictures::Png)).unwrap();
        (0..frames).for_each(|_| writer.frame(&[&[9; 768]], &[], &[]).unwrap());
        writer
    };
    assert!(matches!(begin("none", 0).finish(&[]), Err(Error::Setting { field: "episodes", .. })));
    assert!(matches!(begin("open", 2).finish(&[]), Err(Error::Setting { field: "episodes", .. })));
    let splits: [(&str, &[(&str, std::ops::Range<usize>)]); 3] =
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
    let error = LeRobotWriter::create(&file.join("set"), &layout(Pictures::Png)).err().unwrap();
    assert!(matches!(error, Error::Write { .. }), "{error}");

    let root = folder.path().join("set");
    let mut writer = LeRobotWriter::create(&root, &layout(Pictures::default())).unwrap();
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
    let error = write(Path::new(&root), &layout(Pictures::Png)).unwrap_err();
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

/// Writes what `fixtures/read_with_lerobot.py` reads.
#[test]
#[ignore = "writes data sets for the Python package to the folder in COLA_LEROBOT_OUT"]
fn example_for_the_python_package() {
    let folder =
        PathBuf::from(std::env::var_os("COLA_LEROBOT_OUT").expect("COLA_LEROBOT_OUT names a folder"));
    write(&folder.join("h264"), &layout(Pictures::default())).unwrap();
    write(&folder.join("png"), &layout(Pictures::Png)).unwrap();
    // Several files of each kind, a rate that is no whole number.
    let limits = Limits { video_seconds: 1.0, ..Limits::default() };
    write(&folder.join("files"), &Layout { fps: 12.5, limits, ..layout(Pictures::default()) }).unwrap();
}
