//! The program `lam` as a user runs it, from training to exports.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use cola_report::{Image, save_mp4};
use support::program;

fn run(name: &str, arguments: &[&str]) -> Output {
    program(name).args(arguments).output().expect("the program starts")
}

fn succeeds(name: &str, arguments: &[&str]) -> String {
    support::succeeds(&run(name, arguments))
}

fn fails(name: &str, arguments: &[&str], parts: &[&str]) {
    support::fails(&run(name, arguments), parts);
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("a plain path").to_string()
}

/// A model trained for a few steps, once for all tests.
fn trained() -> &'static str {
    static TRAINED: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let (_, out) = TRAINED.get_or_init(|| {
        let root = tempfile::tempdir().expect("a folder");
        let out = path(root.path(), "lam");
        let told = succeeds("lam", &["train", "--scale", "smoke", "--set", "data.batch=8", "--out", &out]);
        for part in ["plan       LAM20", "model      version lam-", "verdict", "next       lam probe"] {
            assert!(told.contains(part), "`{part}` is not in:\n{told}");
        }
        (root, out)
    });
    out
}

/// The rows of a CSV by the header's names.
fn rows(file: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(file).expect("a table");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let cells = |line: &str| line.split(',').map(str::to_string).collect::<Vec<_>>();
    let header = cells(lines.next().expect("a header"));
    (header, lines.map(cells).collect())
}

/// `frames` pictures of a square that moves, 96 x 64 pixels, 10 a second.
fn film(file: &str, frames: usize) {
    let pictures: Vec<Image> = (0..frames)
        .map(|t| {
            let mut picture = Image::new(96, 64, [40, 60, 80]);
            picture.fill(8 + 3 * t, 20 + t, 16, 16, [230, 200, 40]);
            picture
        })
        .collect();
    save_mp4(file, &pictures, 10.0).expect("a video");
}

#[test]
fn training_leaves_pictures_and_a_checkpoint() {
    let out = PathBuf::from(trained());
    for name in [
        "curves.png",
        "codes-position-0.png",
        "codes-position-1.png",
        "codes-actions.png",
        "codes.csv",
        "config.toml",
    ] {
        assert!(std::fs::metadata(out.join(name)).is_ok_and(|file| file.len() > 100), "{name}");
    }
}

#[test]
fn a_film_becomes_one_row_a_transition_in_both_kinds_of_table() {
    let root = tempfile::tempdir().expect("a folder");
    let video = path(root.path(), "film.mp4");
    film(&video, 13);
    let (csv, parquet) = (path(root.path(), "a.csv"), path(root.path(), "a.parquet"));
    let told = succeeds("lam", &["encode", &video, "--lam", trained(), "--out", &csv]);
    assert!(told.contains("12 transitions"), "{told}");
    let (header, table) = rows(&csv);
    let column =
        |name: &str| header.iter().position(|found| found == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(table.len(), 12);
    assert_eq!(header.iter().filter(|name| name.starts_with("z_")).count(), 64);
    let version = &table[0][column("codebook")];
    assert_eq!(version.len(), 20);
    assert!(told.contains(version.as_str()), "{told}");
    for (index, row) in table.iter().enumerate() {
        assert_eq!(row[column("from_frame")], index.to_string());
        assert_eq!(row[column("to_frame")], (index + 1).to_string());
        let time: f64 = row[column("to_time")].parse().expect("a number");
        assert!((time - (index + 1) as f64 / 10.0).abs() < 1e-6, "{time}");
        assert!(row[column("code_1")].parse::<u32>().expect("a code") < 32);
        assert_eq!(&row[column("codebook")], version);
    }
    succeeds("lam", &["encode", &video, "--lam", trained(), "--out", &parquet]);
    assert!(std::fs::metadata(&parquet).is_ok_and(|file| file.len() > 1000));

    // Every other frame, codes only.
    let stride = ["encode", &video, "--lam", trained(), "--out", &csv, "--stride", "2", "--codes-only"];
    succeeds("lam", &stride);
    let (header, table) = rows(&csv);
    assert_eq!((table.len(), header.iter().any(|name| name == "z_0")), (6, false));
}

#[test]
fn a_dataset_is_encoded_by_episode() {
    let root = tempfile::tempdir().expect("a folder");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/pusht_lerobot");
    let csv = path(root.path(), "a.csv");
    succeeds("lam", &["encode", data, "--lam", trained(), "--splits", "valid", "--out", &csv]);
    let (header, table) = rows(&csv);
    let column =
        |name: &str| header.iter().position(|found| found == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(table.len(), 6 * 15);
    assert_eq!(
        (table[15][column("episode")].as_str(), table[15][column("transition")].as_str()),
        ("49", "0")
    );
    assert_eq!(table[1][column("from_time")], "0.2");
}

#[test]
fn probe_codes_and_verdict_come_with_the_version() {
    let root = tempfile::tempdir().expect("a folder");
    let (out, verdict) = (path(root.path(), "probe"), path(root.path(), "verdict.json"));
    let told =
        succeeds("lam", &["probe", "--lam", trained(), "--train", "300", "--valid", "100", "--out", &out]);
    for part in ["median", "shuffled", "majority", "least squares"] {
        assert!(told.to_lowercase().contains(part), "`{part}` is not in:\n{told}");
    }
    let text = std::fs::read_to_string(Path::new(&out).join("probe.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let output = run("lam", &["health", "--lam", trained(), "--clips", "200", "--json", &verdict]);
    let text = std::fs::read_to_string(&verdict).expect("a verdict");
    let verdict: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(verdict["codebook"], report["codebook"]);
    let collapsed = verdict["collapsed"].as_bool().expect("a verdict");
    assert_eq!(output.status.code(), Some(if collapsed { 3 } else { 0 }));

    let sheets = path(root.path(), "codes");
    succeeds("lam", &["codes", "--lam", trained(), "--split", "valid", "--clips", "50", "--out", &sheets]);
    let (header, table) = rows(&path(Path::new(&sheets), "codes.csv"));
    assert_eq!(header[0], "codebook");
    assert_eq!(table[0][0], report["codebook"].as_str().expect("a version"));
}

#[test]
fn a_collapsed_model_is_called_one() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "lam");
    // A codebook whose first row lies among the tokens and the others far away.
    succeeds(
        "lam",
        &["train", "--scale", "smoke", "--plan", "LAM2", "--set", "data.batch=16", "--out", &out],
    );
    let file = Path::new(&out).join("checkpoints/step-00000002/lam.safetensors");
    let mut tensors: std::collections::HashMap<_, _> =
        cola_nn::read_tensors(&file).expect("a file").into_iter().collect();
    let codebook = tensors.get_mut(cola_lam::CODEBOOK).expect("a codebook");
    let far = (codebook.ones_like().expect("ones") * 1e3).expect("a product");
    let rows = codebook.dim(0).expect("rows");
    let zero = far.narrow(0, 0, 1).and_then(|row| row.zeros_like()).expect("a row");
    *codebook =
        candle_core::Tensor::cat(&[zero, far.narrow(0, 1, rows - 1).expect("rows")], 0).expect("a table");
    let folder = root.path().join("dead");
    std::fs::create_dir(&folder).expect("a folder");
    cola_nn::save_tensors(tensors, &folder.join("lam.safetensors")).expect("a file");
    std::fs::copy(Path::new(&out).join("config.toml"), folder.join("config.toml")).expect("a copy");
    let output = run("lam", &["health", "--lam", folder.to_str().expect("a path"), "--clips", "64"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{told}");
    for part in ["COLLAPSED", "collapse at position 0: code 0 takes 100 %", "collapse at position 1: code 0"]
    {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
}

#[test]
fn a_joint_run_starts_from_it_or_says_why_not() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "joint");
    let short = [
        "--scale",
        "smoke",
        "--plan",
        "E2E4",
        "--set",
        "data.batch=8",
        "--set",
        "evaluation.episodes=2",
        "--set",
        "evaluation.transitions=4",
        "--set",
        "evaluation.also_guidance=[]",
        "--lam-from",
    ];
    let told = succeeds("coevolve", &[&short[..], &[trained(), "--out", &out]].concat());
    assert!(told.contains("LAM        version"), "{told}");
    let (other, third) = (path(root.path(), "other"), path(root.path(), "third"));
    let arguments = [&short[..], &[trained(), "--set", "lam.readout=mean", "--out", &other]].concat();
    fails("coevolve", &arguments, &["readout = difference (mean)"]);
    let arguments = [&short[..], &["nowhere", "--out", &third]].concat();
    fails("coevolve", &arguments, &["nowhere", "neither a checkpoint"]);
}

#[test]
fn wrong_input_is_refused_with_what_to_do() {
    let root = tempfile::tempdir().expect("a folder");
    let csv = path(root.path(), "a.csv");
    fails("lam", &["encode", "nowhere.mp4", "--out", &csv], &["nowhere.mp4", "neither a video"]);
    let video = path(root.path(), "film.mp4");
    film(&video, 3);
    fails("lam", &["encode", &video, "--out", &path(root.path(), "a.txt")], &["a.txt", "parquet"]);
    fails("lam", &["encode", &video, "--stride", "5", "--out", &csv], &["at least 2"]);
    fails("lam", &["encode", &video, "--region", "0,0,2,1", "--out", &csv], &["region", "fractions"]);
    fails(
        "lam",
        &["encode", &video, "--lam", "nowhere", "--out", &csv],
        &["nowhere", "neither a checkpoint"],
    );
    fails(
        "lam",
        &["train", "--plan", "WARM4", "--out", &path(root.path(), "t")],
        &["LAM phases only", "coevolve"],
    );
    std::fs::write(&video, b"no video at all").expect("a file");
    fails("lam", &["encode", &video, "--out", &csv], &["film.mp4"]);
    assert!(!Path::new(&csv).exists(), "nothing half-written stays");
}

#[test]
fn a_film_and_a_dataset_of_the_same_pictures_have_the_same_codes() {
    let root = tempfile::tempdir().expect("a folder");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/pusht_lerobot");
    let film = format!("{data}/videos/observation.image/chunk-000/file-000.mp4");
    let (one, other) = (path(root.path(), "film.csv"), path(root.path(), "data.csv"));
    let common = ["--lam", trained(), "--region", "0,0,1,1", "--out"];
    succeeds("lam", &[&["encode", &film][..], &common, &[&one]].concat());
    succeeds("lam", &[&["encode", data, "--splits", "train"][..], &common, &[&other]].concat());
    let (header, film) = rows(&one);
    let from = header.iter().position(|name| name == "code_0").expect("a column");
    let (_, data) = rows(&other);
    assert_eq!(data.len(), 48 * 15);
    for (index, row) in data.iter().enumerate() {
        // The film goes on where an episode of 16 frames ends.
        let place = index / 15 * 16 + index % 15;
        assert_eq!(row[from..], film[place][from..], "transition {index}");
    }
}

#[test]
fn clips_that_overlap_count_each_transition_once() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "lam");
    let longer = ["--plan", "LAM2", "--set", "data.frames=4", "--set", "data.batch=4", "--out", &out];
    let told = succeeds("lam", &[&["train", "--scale", "smoke"][..], &longer].concat());
    // 40 episodes of 16 frames; their 520 clips of three transitions hold 1560.
    assert!(told.contains("(600 transitions"), "{told}");
}
