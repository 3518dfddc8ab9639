//! LeRobot data sets as this crate writes them, read again; the Python package reads them too
//! (`fixtures/read_with_lerobot.py`).

#[path = "support/example.rs"]
mod example;

use std::fs;
use std::path::PathBuf;

use cola_data::{
    Dataset, FileLimits, Frames, LeRobot, LeRobotLayout, LeRobotWriter, PictureStore, Region, Stretch, View,
    detect,
};
use example::{LENGTHS, SIZES, action, files, layout, one_camera, picture, push, write};
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

/// A row group's rows.
fn rows(file: PathBuf) -> Vec<parquet::record::Row> {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_come_back_exactly_and_pictures_at_36_db_or_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    write(&root, &layout(PictureStore::default())).unwrap();
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
    write(folder.path(), &layout(PictureStore::Png)).unwrap();
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
    write(folder.path(), &layout(PictureStore::default())).unwrap();
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
    write(folder.path(), &layout(PictureStore::default())).unwrap();
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
    let limits = FileLimits { data_mb: 1, video_seconds: 0.5, ..FileLimits::default() };
    let names = (0..1000).map(|name| name.to_string()).collect();
    let layout = LeRobotLayout { limits, action_names: names, ..one_camera(10.0, PictureStore::default()) };
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
        let mut writer = LeRobotWriter::create(folder.path(), &layout(PictureStore::default())).unwrap();
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
    let mut writer = LeRobotWriter::create(folder.path(), &layout(PictureStore::Png)).unwrap();
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
        write(&root, &layout(PictureStore::default())).unwrap();
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

/// Writes what `fixtures/read_with_lerobot.py` reads.
#[test]
#[ignore = "writes data sets for the Python package to the folder in COLA_LEROBOT_OUT"]
fn example_for_the_python_package() {
    let folder =
        PathBuf::from(std::env::var_os("COLA_LEROBOT_OUT").expect("COLA_LEROBOT_OUT names a folder"));
    write(&folder.join("h264"), &layout(PictureStore::default())).unwrap();
    write(&folder.join("png"), &layout(PictureStore::Png)).unwrap();
    // Several files of each kind, a rate that is no whole number.
    let limits = FileLimits { video_seconds: 1.0, ..FileLimits::default() };
    write(&folder.join("files"), &LeRobotLayout { fps: 12.5, limits, ..layout(PictureStore::default()) })
        .unwrap();
}
