//! LeRobot sets as their metadata lay them out: files of each version, paths that lead elsewhere, texts, states.

mod support;

use cola_data::{Dataset, Error, LeRobot, Region, Stretch, View};
use serde_json::json;
use support::{Column, Columns, FRAMES, Toy, set, write_parquet};

/// The toy set as v2.1, two episodes in a folder, the rows without the column `index`. Every episode has the whole
/// video for itself, so frame `k` is picture `k`.
fn v2() -> Toy {
    let mut toy = Toy::new();
    toy.info["codebase_version"] = json!("v2.1");
    toy.info["chunks_size"] = json!(2);
    toy.info["data_path"] = json!("data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet");
    toy.info["video_path"] =
        json!("videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4");
    let toy = toy.write();
    std::fs::remove_dir_all(toy.root().join("meta/episodes")).unwrap();
    std::fs::remove_dir_all(toy.root().join("data")).unwrap();
    std::fs::remove_dir_all(toy.root().join("videos")).unwrap();
    let mut lines: Vec<_> =
        (0..4).map(|e| json!({ "episode_index": e, "length": FRAMES }).to_string()).collect();
    // In any order.
    lines.swap(0, 3);
    std::fs::write(toy.root().join("meta/episodes.jsonl"), lines.join("\n")).unwrap();
    for e in 0..4 {
        write_parquet(&v2_rows(&toy, e), &rows(e as i64));
        let video = toy.root().join(format!("videos/chunk-{:03}/camera/episode_{e:06}.mp4", e / 2));
        std::fs::create_dir_all(video.parent().unwrap()).unwrap();
        std::fs::write(video, &toy.video).unwrap();
    }
    toy
}

fn v2_rows(toy: &Toy, episode: usize) -> std::path::PathBuf {
    toy.root().join(format!("data/chunk-{:03}/episode_{episode:06}.parquet", episode / 2))
}

/// Rows of an episode, backwards.
fn rows(episode: i64) -> Columns {
    let frames: Vec<i64> = (0..FRAMES as i64).rev().collect();
    let columns = [
        ("action", Column::Lists(2, frames.iter().flat_map(|&k| [episode as f32, k as f32]).collect())),
        ("timestamp", Column::Floats(frames.iter().map(|&k| k as f32 / 5.0).collect())),
        ("episode_index", Column::Integers(vec![episode; FRAMES])),
        ("frame_index", Column::Integers(frames)),
    ];
    columns.map(|(name, column)| (name.to_owned(), column)).into()
}

fn open(toy: &Toy) -> LeRobot {
    LeRobot::open(toy.root()).unwrap()
}

/// The error of reading a frame of the last episode.
fn refused(toy: &Toy, camera: &str) -> Error {
    let view = View { region: Region::FULL, height: 8, width: 8 };
    open(toy).read(camera, &Stretch { episode: 3, frames: vec![0] }, &view).unwrap_err()
}

#[test]
fn a_folder_of_v2_holds_as_many_episodes_as_chunks_size_says() {
    let toy = v2();
    let dataset = open(&toy);
    let rows = dataset.rows(&[3, 0]).unwrap();
    for (rows, e) in rows.iter().zip([3.0, 0.0]) {
        assert_eq!(rows.actions, (0..FRAMES).flat_map(|k| [e, k as f32]).collect::<Vec<_>>());
    }
    let view = View { region: Region::FULL, height: 32, width: 48 };
    for episode in 0..4 {
        let frames = dataset.read("camera", &Stretch { episode, frames: vec![1, 4] }, &view).unwrap();
        assert!(frames.frame(0)[0].abs_diff(28) < 4 && frames.frame(1)[0].abs_diff(52) < 4);
    }
}

#[test]
fn v2_rows_that_are_not_those_of_the_episode_are_refused() {
    let toy = v2();
    let mut foreign = rows(1);
    write_parquet(&v2_rows(&toy, 3), &foreign);
    assert!(matches!(refused(&toy, "camera"), Error::Field { file, .. } if file == v2_rows(&toy, 3)));
    foreign = rows(3);
    set(&mut foreign, "frame_index", Some(Column::Integers(vec![0, 1, 2, 3, 4, 9])));
    write_parquet(&v2_rows(&toy, 3), &foreign);
    assert!(matches!(refused(&toy, "camera"), Error::Field { .. }));

    let lengths = (0..4).map(|e| json!({ "episode_index": e, "length": 6 - i32::from(e == 3) }).to_string());
    let toy = v2();
    std::fs::write(toy.root().join("meta/episodes.jsonl"), lengths.collect::<Vec<_>>().join("\n")).unwrap();
    let error = refused(&toy, "camera");
    assert!(matches!(&error, Error::Field { found, .. } if found == "6 rows"), "{error}");
}

#[test]
fn v2_lists_that_are_damaged_or_contradict_the_totals_are_refused() {
    let line = |e: u64, length: u64| json!({ "episode_index": e, "length": length }).to_string();
    let lists = [
        String::new(),
        (0..3).map(|e| line(e, 6)).collect(),
        (0..5).map(|e| line(e, 6)).collect(),
        (1..5).map(|e| line(e, 6)).collect(),
        (0..4).map(|e| line(e, 7)).collect(),
        (0..4).map(|e| line(e, 6 * u64::from(e > 0))).collect(),
        (0..4).map(|e| line(e, u64::MAX)).collect(),
    ];
    for list in lists {
        let toy = v2();
        std::fs::write(toy.root().join("meta/episodes.jsonl"), &list).unwrap();
        let error = LeRobot::open(toy.root()).err().unwrap();
        assert!(matches!(error, Error::Field { .. }), "{list}: {error}");
    }
    let toy = v2();
    std::fs::write(toy.root().join("meta/episodes.jsonl"), format!("{}\n{{\"episode", line(0, 6))).unwrap();
    let error = LeRobot::open(toy.root()).err().unwrap();
    assert!(matches!(&error, Error::Json { source, .. } if source.line() == 2), "{error}");
    std::fs::remove_file(toy.root().join("meta/episodes.jsonl")).unwrap();
    assert!(matches!(LeRobot::open(toy.root()), Err(Error::MissingFile { .. })));
}

#[test]
fn templates_that_leave_the_folder_are_refused() {
    let templates = [
        "../data/file-{file_index:03d}",
        "data/../../file-{file_index}",
        "/tmp/file-{file_index}",
        "{video_key}",
        "",
        "data/{episode_index:06d}",
        "data/{file_index:03x}",
        "data/{file_index",
    ];
    for template in templates {
        for name in ["data_path", "video_path"] {
            let mut toy = Toy::new();
            toy.info[name] = json!(template);
            // As a key it is as hostile.
            toy.info["features"]["../camera"] = toy.info["features"]["camera"].clone();
            for (column, values) in [("chunk_index", 0), ("file_index", 1)] {
                toy.episodes.push((format!("videos/../camera/{column}"), Column::Integers(vec![values; 4])));
            }
            let starts = Column::Doubles(vec![0.0; 4]);
            toy.episodes.push(("videos/../camera/from_timestamp".into(), starts));
            let error = refused(&toy.write(), "../camera");
            let Error::Field { field, expected, .. } = &error else { panic!("{template}: {error}") };
            assert_eq!((field.as_str(), expected.contains("inside the data set")), (name, true), "{error}");
        }
    }
}

#[test]
fn keys_that_leave_the_folder_are_refused_and_folders_in_keys_are_not() {
    for (key, allowed) in [("../camera", false), ("a/../../b", false), ("group/camera", true)] {
        let mut toy = Toy::new();
        let features = toy.info["features"].as_object_mut().unwrap();
        let feature = features.remove("camera").unwrap();
        features.insert(key.to_owned(), feature);
        for (name, _) in &mut toy.episodes {
            *name = name.replace("videos/camera/", &format!("videos/{key}/"));
        }
        let toy = toy.write();
        let error = refused(&toy, key);
        // The video lies elsewhere in any case.
        assert_eq!(matches!(error, Error::MissingFile { .. }), allowed, "{error}");
        assert_eq!(matches!(error, Error::Field { .. }), !allowed, "{error}");
    }
}

#[test]
fn states_are_read_where_they_are_numbers_on_one_axis() {
    let feature = |dtype: &str, shape: &[usize]| json!({ "dtype": dtype, "shape": shape, "names": null });
    let states: Vec<f32> = (0..36).map(|value| if value == 35 { f32::NAN } else { value as f32 }).collect();
    for (feature, width) in [
        (feature("float32", &[3]), 3),
        (feature("float32", &[3, 1]), 0),
        (feature("string", &[3]), 0),
        (feature("float64", &[usize::MAX]), 0),
    ] {
        let mut toy = Toy::new();
        toy.info["features"]["observation.state"] = feature;
        toy.data[0].push(("observation.state".into(), Column::Lists(3, states.clone())));
        let rows = open(&toy.write()).rows(&[0]).unwrap().remove(0);
        assert_eq!((rows.state_dim, rows.states.len()), (width, FRAMES * width));
        if width > 0 {
            // Rows stand backwards in the file.
            assert_eq!(rows.states[..2], [33.0, 34.0]);
            assert!(rows.states[2].is_nan(), "passed on as it is");
        }
    }
}

fn texts(toy: Toy) -> Vec<Vec<String>> {
    open(&toy.write()).episodes().iter().map(|episode| episode.texts.clone()).collect()
}

#[test]
fn texts_of_v3_come_from_the_episodes() {
    let mut toy = Toy::new();
    let lists = vec![vec!["push", "pull"], vec!["push"], vec!["pull"], vec!["lift"]];
    toy.episodes.push(("tasks".into(), Column::TextLists(lists.clone())));
    assert_eq!(texts(toy), lists);
    // One text instead of a list of them.
    let mut toy = Toy::new();
    toy.episodes.push(("tasks".into(), Column::Texts(vec!["push"; 4])));
    assert_eq!(texts(toy), [["push"]; 4]);
}

#[test]
fn missing_and_odd_tasks_give_no_texts_and_damaged_ones_an_error() {
    let none: [Vec<String>; 4] = Default::default();
    assert_eq!(texts(Toy::new()), none);
    let mut toy = Toy::new();
    toy.episodes.push(("tasks".into(), Column::Integers(vec![0; 4])));
    assert_eq!(texts(toy), none);

    // A single task is everybody's, under either name of the column.
    for (name, column, expected) in [
        ("__index_level_0__", Column::Texts(vec!["push"]), vec!["push"]),
        ("task", Column::Texts(vec!["push"]), vec!["push"]),
        ("task", Column::Integers(vec![5]), vec![]),
        ("other", Column::Texts(vec!["push"]), vec![]),
    ] {
        let toy = Toy::new();
        let columns = [("task_index".to_owned(), Column::Integers(vec![0])), (name.to_owned(), column)];
        write_parquet(&toy.root().join("meta/tasks.parquet"), &columns.into());
        assert_eq!(texts(toy), vec![expected; 4]);
    }
    let toy = Toy::new().write();
    std::fs::write(toy.root().join("meta/tasks.parquet"), b"PAR1 no table PAR1").unwrap();
    assert!(matches!(LeRobot::open(toy.root()), Err(Error::Parquet { .. })));
}

#[test]
fn texts_of_v2_are_named_by_text_or_number() {
    let toy = v2();
    let tasks = [
        json!({ "task_index": 7, "task": "push" }),
        json!({ "task_index": "odd", "task": 3 }),
        json!({ "task_index": 8, "task": "pull" }),
    ];
    std::fs::write(toy.root().join("meta/tasks.jsonl"), tasks.map(|line| line.to_string()).join("\n"))
        .unwrap();
    let named = [json!(["lift"]), json!([7, 8]), json!(8), json!({ "odd": 1 })];
    let line = |(e, tasks)| json!({ "episode_index": e, "length": FRAMES, "tasks": tasks }).to_string();
    let lines = (0..4).zip(named).map(line).collect::<Vec<_>>().join("\n");
    std::fs::write(toy.root().join("meta/episodes.jsonl"), lines).unwrap();
    let texts: Vec<_> = open(&toy).episodes().iter().map(|episode| episode.texts.join(" ")).collect();
    assert_eq!(texts, ["lift", "push pull", "pull", ""]);
}
