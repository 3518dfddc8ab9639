//! Safetensors shards: what is written is read back, damage is told, an unfinished folder is known as one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use cola_data::{
    Camera, Dataset, EpisodeData, Error, Format, Frames, OpenOptions, Region, Rows, ShardLayout, ShardWriter,
    Shards, Stretch, View,
};
use proptest::prelude::*;
use tempfile::TempDir;

const FRAMES: [usize; 4] = [5, 3, 1, 4];
const VIEW: View = View { region: Region::FULL, height: 4, width: 6 };

/// Two cameras, one of them of changing size; small shards, so that there are several.
fn layout() -> ShardLayout {
    let camera = |key: &str, size| Camera { key: key.into(), size };
    let cameras = vec![camera("hand", None), camera("rgb/top", Some((4, 6)))];
    ShardLayout { cameras, action_dim: 2, state_dim: 1, shard_bytes: 600 }
}

fn pictures(episode: usize, count: usize, height: usize, width: usize) -> Frames {
    let rgb = (0..count * height * width * 3).map(|i| (i * 7 + episode * 50) as u8).collect();
    Frames { count, height, width, rgb }
}

fn episode(number: usize) -> EpisodeData {
    let frames = FRAMES[number];
    let rows = Rows {
        times: (0..frames).map(|frame| frame as f64 * 0.1).collect(),
        actions: (0..2 * frames).map(|i| (number * 100 + i) as f32).collect(),
        action_dim: 2,
        states: (0..frames).map(|i| -(i as f32)).collect(),
        state_dim: 1,
    };
    let hand = pictures(number, frames, 2 + number, 3);
    let pictures = vec![("hand".into(), hand), ("rgb/top".into(), pictures(number, frames, 4, 6))];
    let texts = if number == 1 { vec!["open the „drawer“".into()] } else { vec![] };
    EpisodeData { name: format!("demo {number}"), rate: (number != 2).then_some(10.0), texts, rows, pictures }
}

fn splits() -> BTreeMap<String, Vec<usize>> {
    BTreeMap::from([("train".into(), vec![0, 1, 3]), ("valid".into(), vec![2]), ("none".into(), vec![])])
}

fn write(root: &Path) {
    let mut writer = ShardWriter::create(root, &layout()).unwrap();
    (0..FRAMES.len()).for_each(|number| writer.push(episode(number)).unwrap());
    writer.finish(&splits()).unwrap();
}

fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    folder
}

fn read_all(root: &Path) -> Result<(), Error> {
    let shards = Shards::open(root)?;
    shards.rows(&(0..shards.episodes().len()).collect::<Vec<_>>())?;
    for (episode, found) in shards.episodes().iter().enumerate() {
        for camera in shards.cameras() {
            shards.read(&camera.key, &Stretch { episode, frames: (0..found.frames).collect() }, &VIEW)?;
        }
    }
    Ok(())
}

#[test]
fn episodes_come_back_as_they_were_pushed() {
    let folder = written();
    let shards = cola_data::open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(shards.format(), Format::Shards);
    assert_eq!(shards.cameras(), layout().cameras);
    for (number, found) in shards.episodes().iter().enumerate() {
        let EpisodeData { name, rate, texts, rows, pictures } = episode(number);
        assert_eq!(
            (&found.name, found.rate, &found.texts, found.frames),
            (&name, rate, &texts, FRAMES[number])
        );
        assert_eq!(shards.rows(&[number]).unwrap(), [rows]);
        for (camera, expected) in pictures {
            let view = View { height: expected.height, width: expected.width, ..VIEW };
            let frames = (0..FRAMES[number]).collect();
            let read = shards.read(&camera, &Stretch { episode: number, frames }, &view).unwrap();
            assert_eq!(read, expected);
        }
    }
    assert_eq!(
        (shards.splits(), shards.split("train").unwrap()),
        (vec!["none".into(), "train".into(), "valid".into()], vec![0, 1, 3])
    );
    assert!(matches!(shards.split("none"), Err(Error::EmptySplit { .. })));
    assert!(matches!(shards.rows(&[4]), Err(Error::Setting { field: "episode", .. })));
    assert!(matches!(
        shards.read("top", &Stretch { episode: 0, frames: vec![0] }, &VIEW),
        Err(Error::Camera { .. })
    ));
    assert!(matches!(
        shards.read("hand", &Stretch { episode: 0, frames: vec![5] }, &VIEW),
        Err(Error::Setting { .. })
    ));
}

#[test]
fn shards_are_bounded_and_readable_by_the_format_s_own_library() {
    let folder = written();
    let mut names = Vec::new();
    for number in 0..3 {
        let file = folder.path().join(format!("shard-{number:05}.safetensors"));
        let bytes = std::fs::read(&file).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        names.extend(tensors.names().into_iter().map(str::to_owned));
        let episodes = tensors.names().iter().filter(|name| name.ends_with(".times")).count();
        assert!(bytes.len() < 2000 && episodes <= 2, "{} bytes of {episodes} episodes", bytes.len());
    }
    assert!(!folder.path().join("shard-00003.safetensors").exists());
    assert_eq!(names.len(), 4 * 5);
    assert!(names.contains(&"episode.000003.rgb/top".to_owned()));
}

#[test]
fn single_frames_are_cut_and_resized_as_whole_episodes_are() {
    let folder = written();
    let shards = Shards::open(folder.path()).unwrap();
    let expected = &episode(0).pictures[1].1;
    let some = shards.read("rgb/top", &Stretch { episode: 0, frames: vec![0, 1, 3] }, &VIEW).unwrap();
    assert_eq!(
        [some.frame(0), some.frame(1), some.frame(2)],
        [expected.frame(0), expected.frame(1), expected.frame(3)]
    );
    let region = Region { top: 0.5, height: 0.5, ..Region::FULL };
    let view = View { region, height: 2, width: 6 };
    let half = shards.read("rgb/top", &Stretch { episode: 0, frames: vec![4] }, &view).unwrap();
    assert_eq!(half.frame(0), &expected.frame(4)[2 * 6 * 3..]);
}

#[test]
fn a_folder_without_its_list_is_unfinished_and_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new/set");
    let mut writer = ShardWriter::create(&root, &layout()).unwrap();
    (0..3).for_each(|number| writer.push(episode(number)).unwrap());
    drop(writer);
    assert!(root.join("shard-00000.safetensors").exists());
    let error = Shards::open(&root).err().unwrap().to_string();
    assert!(error.contains("shards.json") && error.contains("did not end"), "{error}");
    write(&root);
    assert!(read_all(&root).is_ok());
    let error = ShardWriter::create(&root, &layout()).err().unwrap();
    assert!(matches!(error, Error::Setting { field: "folder", .. }), "{error}");
}

#[test]
fn a_folder_with_other_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".shard-00002.safetensors.partial", ".shards.json.partial", "shard-00001.safetensors"] {
        std::fs::write(folder.path().join(name), "begun").unwrap();
        assert!(ShardWriter::create(folder.path(), &layout()).is_ok(), "{name}");
    }
    for name in ["shard-1.safetensors", "notes.txt", ".shard-00000.safetensors"] {
        std::fs::write(folder.path().join(name), "other").unwrap();
        let error = ShardWriter::create(folder.path(), &layout()).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
}

#[test]
fn episodes_that_do_not_fit_are_refused_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(folder.path(), &layout()).unwrap();
    let wrong: [fn(&mut EpisodeData); 8] = [
        |episode| episode.rows.actions.truncate(9),
        |episode| episode.rows.action_dim = 1,
        |episode| episode.rows.states.push(0.0),
        |episode| episode.rows.times.truncate(4),
        |episode| episode.pictures.swap(0, 1),
        |episode| episode.pictures.truncate(1),
        |episode| episode.pictures[1].1 = pictures(0, 5, 6, 4),
        |episode| episode.rate = Some(f64::NAN),
    ];
    for change in wrong {
        let mut changed = episode(0);
        change(&mut changed);
        assert!(matches!(writer.push(changed), Err(Error::Setting { field: "episode", .. })));
    }
    writer.push(episode(0)).unwrap();
    let error = writer.finish(&BTreeMap::from([("train".into(), vec![0, 1])])).unwrap_err();
    assert!(matches!(error, Error::Setting { field: "splits", .. }), "{error}");
    let empty = ShardWriter::create(folder.path(), &layout()).unwrap();
    assert!(empty.finish(&BTreeMap::new()).is_err());
    for key in ["actions", "states", "times", ""] {
        let cameras = vec![Camera { key: key.into(), size: None }];
        assert!(ShardWriter::create(folder.path(), &ShardLayout { cameras, ..layout() }).is_err());
    }
    assert!(ShardWriter::create(folder.path(), &ShardLayout { cameras: vec![], ..layout() }).is_err());
}

#[test]
fn a_flipped_bit_in_a_picture_is_found_by_verify() {
    let folder = written();
    let shards = Shards::open(folder.path()).unwrap();
    shards.verify().unwrap();
    let file = folder.path().join("shard-00001.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = Shards::open(folder.path()).unwrap().verify().unwrap_err().to_string();
    assert!(error.contains("shard-00001.safetensors: crc32c"), "{error}");
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let error = Shards::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("shard-00001.safetensors: size"), "{error}");
    // After opening, a file that lost its end is an error of reading.
    assert!(matches!(
        shards.read("rgb/top", &Stretch { episode: 2, frames: vec![0] }, &VIEW),
        Err(Error::Read { .. })
    ));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Shards::open(folder.path()), Err(Error::MissingFile { .. })));
}

#[test]
fn a_list_that_contradicts_itself_or_the_shards_is_refused() {
    let folder = written();
    let file = folder.path().join("shards.json");
    let sound = std::fs::read_to_string(&file).unwrap();
    for (from, to, told) in [
        ("\"version\":1", "\"version\":2", "version: found 2, expected 1"),
        ("shard-00000.safetensors", "../shard-00000.safetensors", "shards.file"),
        ("\"shard\":0", "\"shard\":9", "episodes: found episode 0"),
        ("\"frames\":5", "\"frames\":0", "episodes: found episode 0"),
        ("\"frames\":5", "\"frames\":6", "tensor `episode.000000.times`"),
        ("\"size\":[4,6]", "\"size\":[6,4]", "tensor `episode.000000.rgb/top`: found U8 [5, 4, 6, 3]"),
        ("\"size\":null", "\"sizes\":null", "content: found unknown field `sizes`"),
        ("\"action_dim\":2", "\"action_dim\":3", "tensor `episode.000000.actions`"),
        ("\"state_dim\":1", "\"state_dim\":70000", "state_dim: found 70000"),
        ("\"train\":[0,1,3]", "\"train\":[0,3,1]", "splits: found train"),
        ("\"rate\":10.0", "\"rate\":-1.0", "rate Some(-1.0)"),
    ] {
        let changed = sound.replacen(from, to, 1);
        assert_ne!(changed, sound, "{from}");
        std::fs::write(&file, changed).unwrap();
        let error = read_all(folder.path()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_head_that_claims_too_much_is_refused_before_it_is_read() {
    let folder = written();
    let file = folder.path().join("shard-00000.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    for length in [u64::MAX, 1 << 40, bytes.len() as u64 - 7] {
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&file, &bytes).unwrap();
        let error = Shards::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains(&format!("length of the header: found {length}")), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_heads_and_lists_never_panic(
        list in any::<bool>(),
        kept in prop_oneof![Just(1.0), 0.0..1.0f64],
        flips in prop::collection::vec((0.0..1.0f64, 0..8u8), 1..6),
    ) {
        static SET: LazyLock<TempDir> = LazyLock::new(written);
        let file = SET.path().join(if list { "shards.json" } else { "shard-00000.safetensors" });
        let sound = std::fs::read(&file).unwrap();
        let mut bytes = sound.clone();
        let head = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
        let reach = if list { bytes.len() } else { head } as f64;
        for (place, bit) in flips {
            bytes[(place * reach) as usize] ^= 1 << bit;
        }
        bytes.truncate((kept * bytes.len() as f64) as usize);
        std::fs::write(&file, bytes).unwrap();
        drop(read_all(SET.path()));
        std::fs::write(&file, sound).unwrap();
    }
}
