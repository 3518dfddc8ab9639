//! Which format a path holds, also where a copy is not complete.

mod support;

use std::path::Path;

use cola_data::{Error, Format, OpenOptions, detect, open};
use support::{PUSHT, Toy};

#[test]
fn every_fixture_is_recognised() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let cases = [
        (Path::new(PUSHT).to_owned(), Format::LeRobot),
        (data.join("lerobot_v21"), Format::LeRobot),
        (data.join("b_frames.mp4"), Format::Videos),
        (data.join("hdf5/robodesk.hdf5"), Format::Robomimic),
        (data.join("rlds/toy_arm"), Format::Rlds),
    ];
    for (path, format) in cases {
        assert_eq!(detect(&path).unwrap(), format, "{}", path.display());
    }
}

#[test]
fn a_lerobot_set_without_its_info_is_no_folder_of_videos() {
    let toy = Toy::new().write();
    std::fs::remove_file(toy.info_file()).unwrap();
    assert_eq!(detect(toy.root()).unwrap(), Format::LeRobot);
    let error = open(toy.root(), &OpenOptions::default()).err().unwrap();
    assert!(matches!(&error, Error::MissingFile { file, .. } if *file == toy.info_file()), "{error}");
}

#[test]
fn a_folder_of_something_else_names_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
    let error = detect(folder.path()).unwrap_err().to_string();
    for part in ["meta/info.json", "tfrecord", "hdf5", "shards.json", "video files"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(matches!(detect(Path::new("no/such/path")), Err(Error::MissingFolder { .. })));
    let error = "webdataset".parse::<Format>().unwrap_err().to_string();
    assert!(error.contains("lerobot, videos, robomimic"), "{error}");
}
