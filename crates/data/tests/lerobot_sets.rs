//! Sets that the LeRobot package wrote, v2.1 and v3.0: every number and every picture.

mod support;

use std::path::Path;

use cola_data::{Camera, Dataset, Error, Format, LeRobot, OpenOptions, Region, Stretch, View, detect, open};
use support::sets::{LENGTHS, V21, V30, copy};

const TOP: &str = "observation.images.top";
const FRONT: &str = "observation.images.front";
/// Grey levels by which a picture may differ after H.264 at the quality of the script (CRF 18).
const TOLERANCE: u8 = 6;

fn view(dataset: &dyn Dataset, camera: &str) -> View {
    let (height, width) = dataset.camera(Some(camera)).unwrap().size.unwrap();
    View { region: Region::FULL, height, width }
}

fn close(found: &[u8], expected: usize) -> bool {
    found.iter().all(|&value| value.abs_diff(expected as u8) <= TOLERANCE)
}

/// All frames of all episodes.
fn everything() -> Vec<Stretch> {
    LENGTHS
        .iter()
        .enumerate()
        .map(|(episode, &frames)| Stretch { episode, frames: (0..frames).collect() })
        .collect()
}

#[test]
fn metadata_are_read_alike_in_both_versions() {
    for (root, version) in [(V21, "v2.1"), (V30, "v3.0")] {
        assert_eq!(detect(Path::new(root)).unwrap(), Format::LeRobot);
        let dataset = LeRobot::open(Path::new(root)).unwrap();
        assert_eq!(dataset.info().codebase_version, version);
        let episodes = dataset.episodes();
        assert_eq!(episodes.iter().map(|episode| episode.frames).collect::<Vec<_>>(), LENGTHS);
        assert!(episodes.iter().all(|episode| episode.rate == Some(10.0)));
        let texts: Vec<_> = episodes.iter().flat_map(|episode| &episode.texts).collect();
        assert_eq!(texts, ["push the block", "open the drawer", "push the block"]);
        assert_eq!(
            (dataset.splits(), dataset.split("train").unwrap()),
            (vec!["train".into()], vec![0, 1, 2])
        );
        let cameras = [(FRONT, (48, 32)), (TOP, (32, 48)), ("observation.images.wrist", (33, 47))];
        let cameras = cameras.map(|(key, size)| Camera { key: key.into(), size: Some(size) });
        assert_eq!(dataset.cameras(), cameras);
    }
}

#[test]
fn rows_are_exact() {
    for root in [V21, V30] {
        let dataset = open(Path::new(root), &OpenOptions::default()).unwrap();
        // In another order, and each alone.
        let together = dataset.rows(&[2, 0, 1]).unwrap();
        for (rows, e) in together.iter().zip([2, 0, 1]) {
            assert_eq!(dataset.rows(&[e]).unwrap(), std::slice::from_ref(rows));
            assert_eq!((rows.action_dim, rows.state_dim, rows.times.len()), (2, 3, LENGTHS[e]));
            for k in 0..LENGTHS[e] {
                assert_eq!(rows.times[k], f64::from((k as f64 / 10.0) as f32));
                assert_eq!(rows.actions[2 * k..2 * k + 2], [(10 * e + k) as f32, -(k as f32) / 4.0]);
                let sum = (e as f64 + k as f64 / 10.0) as f32;
                assert_eq!(rows.states[3 * k..3 * k + 3], [e as f32, k as f32, sum]);
            }
        }
    }
}

#[test]
fn videos_of_several_cameras_show_the_right_frames() {
    // The files end elsewhere for each camera and for the rows.
    for (folder, files) in [(format!("videos/{TOP}"), 1), (format!("videos/{FRONT}"), 3), ("data".into(), 2)]
    {
        let found = std::fs::read_dir(Path::new(V30).join(folder).join("chunk-000")).unwrap();
        assert_eq!(found.count(), files);
    }
    for root in [V21, V30] {
        let dataset = LeRobot::open(Path::new(root)).unwrap();
        let mut seen = 0;
        let read = |camera: &str, each: &mut dyn FnMut(usize, &[u8])| {
            dataset
                .read_many(camera, &everything(), &view(&dataset, camera), &mut |decoded| {
                    // Episodes ascend and all frames are asked for.
                    each(5 * decoded.stretch + decoded.place, &decoded.rgb);
                    Ok(())
                })
                .unwrap();
        };
        read(TOP, &mut |n, rgb| {
            for row in rgb.chunks(48 * 3) {
                assert!(close(&row[..23 * 3], 30 + 12 * n), "left half of frame {n}");
                assert!(close(&row[25 * 3..], 230 - 12 * n), "right half of frame {n}");
            }
            seen += 1;
        });
        read(FRONT, &mut |n, rgb| {
            assert!(close(&rgb[26 * 32 * 3..], 40 + 10 * n), "lower half of frame {n}");
            let noise = &rgb[..22 * 32 * 3];
            assert!(
                noise.iter().max().unwrap() - noise.iter().min().unwrap() > 100,
                "upper half of frame {n}"
            );
            seen += 1;
        });
        assert_eq!(seen, 2 * LENGTHS.iter().sum::<usize>());
    }
}

#[test]
fn an_episode_of_v2_needs_no_file_of_another() {
    let folder = copy(V21);
    for episode in [0, 2] {
        let file = |camera: &str| format!("videos/chunk-000/{camera}/episode_{episode:06}.mp4");
        for file in [file(TOP), file(FRONT), format!("data/chunk-000/episode_{episode:06}.parquet")] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    let dataset = LeRobot::open(folder.path()).unwrap();
    let stretch = |episode| Stretch { episode, frames: vec![1, 3] };
    for camera in [TOP, FRONT] {
        assert!(dataset.read(camera, &stretch(1), &view(&dataset, camera)).is_ok());
    }
    let error = dataset.read(TOP, &stretch(2), &view(&dataset, TOP)).unwrap_err();
    assert!(matches!(error, Error::MissingFile { .. }), "{error}");
}

#[test]
fn v2_0_differs_in_nothing_that_is_read() {
    let folder = copy(V21);
    let file = folder.path().join("meta/info.json");
    let info = std::fs::read_to_string(&file).unwrap().replace("v2.1", "v2.0");
    std::fs::write(&file, info).unwrap();
    let (v20, v21) = (LeRobot::open(folder.path()).unwrap(), LeRobot::open(Path::new(V21)).unwrap());
    assert_eq!(v20.episodes(), v21.episodes());
    assert_eq!(v20.rows(&[0, 1, 2]).unwrap(), v21.rows(&[0, 1, 2]).unwrap());
}

#[test]
fn row_groups_of_other_episodes_are_not_read() {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let folder = copy(V30);
    let file = folder.path().join("data/chunk-000/file-000.parquet");
    let table = SerializedFileReader::try_from(file.as_path()).unwrap();
    let group = table.metadata().row_group(0);
    let mut bytes = std::fs::read(&file).unwrap();
    for column in group.columns() {
        let (start, length) = column.byte_range();
        bytes[start as usize..(start + length) as usize].fill(0xff);
    }
    std::fs::write(&file, bytes).unwrap();
    let (damaged, whole) = (LeRobot::open(folder.path()).unwrap(), LeRobot::open(Path::new(V30)).unwrap());
    assert!(damaged.rows(&[0]).is_err());
    assert_eq!(damaged.rows(&[1]).unwrap(), whole.rows(&[1]).unwrap());
}

#[test]
#[cfg(not(feature = "pictures"))]
fn a_build_without_pictures_names_the_feature() {
    let dataset = LeRobot::open(Path::new(V30)).unwrap();
    let camera = "observation.images.wrist";
    let stretch = Stretch { episode: 0, frames: vec![0] };
    let error = dataset.read(camera, &stretch, &view(&dataset, camera)).unwrap_err();
    assert!(error.to_string().contains("feature `pictures`"), "{error}");
}
