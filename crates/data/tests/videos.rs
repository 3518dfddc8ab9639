//! Folders of videos: which files become which episodes, with and without a manifest.

use std::path::Path;

use cola_data::{
    ClipOptions, ClipSource, Dataset, EpisodeClips, Error, Format, OpenOptions, Region, Run, Stretch,
    VideoFile, Videos, View, detect, open,
};
use tempfile::TempDir;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// A folder with copies of test videos.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, source) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(Path::new(DATA).join(source), path).unwrap();
    }
    folder
}

/// Two videos of 24 frames and one of 40, of other sizes, in folders that name splits.
fn three() -> TempDir {
    folder(&[
        ("train/b.MP4", "b_frames.mp4"),
        ("train/deep/a.mp4", "h264_pyramid.mp4"),
        ("val/c.mov", "b_frames.mp4"),
    ])
}

fn opened(folder: &TempDir) -> Result<Videos, Error> {
    Videos::open(folder.path(), &OpenOptions::default())
}

fn names(videos: &Videos) -> Vec<&str> {
    videos.episodes().iter().map(|episode| episode.name.as_str()).collect()
}

/// Opens with a manifest of this text.
fn listed(folder: &TempDir, name: &str, text: &str) -> Result<Videos, Error> {
    std::fs::write(folder.path().join(name), text).unwrap();
    opened(folder)
}

#[test]
fn every_file_is_an_episode_in_the_order_of_paths() {
    let folder = three();
    assert_eq!(detect(folder.path()).unwrap(), Format::Videos);
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(dataset.format(), Format::Videos);
    let videos = opened(&folder).unwrap();
    assert_eq!(names(&videos), ["train/b.MP4", "train/deep/a.mp4", "val/c.mov"]);
    let frames: Vec<(usize, f64)> =
        videos.episodes().iter().map(|episode| (episode.frames, episode.rate.unwrap().round())).collect();
    assert_eq!(frames, [(24, 5.0), (40, 25.0), (24, 5.0)]);
    assert_eq!((videos.cameras()[0].key.as_str(), videos.cameras()[0].size), ("video", None));
    assert_eq!(videos.splits(), ["train", "valid"]);
    assert_eq!((videos.split("train").unwrap(), videos.split("valid").unwrap()), (vec![0, 1], vec![2]));
    assert!(matches!(videos.split("test"), Err(Error::Split { .. })));
    assert!(videos.skipped().is_empty());
}

#[test]
fn a_single_file_is_a_data_set_of_one_episode() {
    let file = Path::new(DATA).join("b_frames.mp4");
    assert_eq!(detect(&file).unwrap(), Format::Videos);
    let videos = Videos::open(&file, &OpenOptions::default()).unwrap();
    assert_eq!(names(&videos), ["b_frames.mp4"]);
    assert_eq!(videos.cameras()[0].size, Some((32, 48)));
    let rows = &videos.rows(&[0]).unwrap()[0];
    assert!((rows.times[7] - 1.4).abs() < 1e-9 && rows.times.len() == 24);
    assert_eq!((rows.action_dim, rows.state_dim, rows.actions.len()), (0, 0, 0));
}

#[test]
fn pictures_are_those_of_the_file_whatever_is_read_at_once() {
    let folder = three();
    let videos = opened(&folder).unwrap();
    let view = View { region: Region { left: 0.25, width: 0.5, ..Region::FULL }, height: 9, width: 7 };
    let wanted: Vec<Stretch> = [(1, vec![0, 9, 39]), (0, vec![23]), (2, vec![4, 5]), (1, vec![10, 11])]
        .map(|(episode, frames)| Stretch { episode, frames })
        .into();
    let mut found = vec![Vec::new(); 4];
    videos
        .read_many("video", &wanted, &view, &mut |decoded| {
            found[decoded.stretch].push((decoded.place, decoded.rgb));
            Ok(())
        })
        .unwrap();
    for (stretch, mut found) in wanted.iter().zip(found) {
        found.sort();
        let name = &videos.episodes()[stretch.episode].name;
        let file = VideoFile::open(&folder.path().join(name)).unwrap();
        let alone = videos.read("video", stretch, &view).unwrap();
        file.read(stretch.frames.iter().copied(), &view, 8, |_, frames| {
            assert!(frames == alone, "{stretch:?}");
            assert_eq!(found.len(), frames.count);
            for (place, rgb) in &found {
                assert!(rgb == frames.frame(*place), "{stretch:?}, {place}");
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    }
}

#[test]
fn videos_without_actions_become_clips() {
    let folder = three();
    let videos = opened(&folder).unwrap();
    let options = ClipOptions {
        camera: None,
        frames: 16,
        frame_stride: 2,
        rate: None,
        region: Region::FULL,
        store: 20,
    };
    let clips = EpisodeClips::load(&videos, &Run::whole(&videos, &[0, 1]).unwrap(), &options, &mut |_, _| {})
        .unwrap();
    // Only the longer video has 31 frames.
    assert_eq!(clips.len(), 10);
    let clip = clips.clip(9).unwrap();
    assert_eq!((clip.episode, clip.start, clip.action_dim, clip.actions.len()), (1, 9, 0, 0));
    assert_eq!((clip.frames.height, clip.frames.width), (20, 20));
}

#[test]
fn a_manifest_cuts_several_episodes_from_one_file() {
    let folder = three();
    let csv = "\u{feff}path,start,end,start_frame,end_frame,split,text,more\r\n\
               train/b.MP4,0.4,1.0,,,train,\"open, then \"\"close\"\"\nthe drawer\",x\r\n\
               \r\n\
               train/b.MP4,,,10,24,test,,\r\n\
               train/b.MP4,3.9999,,,,test,,\r\n\
               ./train/deep/a.mp4,,,,,,\"\",\n";
    let json = "{\"path\": \"train/b.MP4\", \"start\": 0.4, \"end\": 1.0, \"split\": \"train\", \
                 \"text\": \"open, then \\\"close\\\"\\nthe drawer\", \"more\": [1]}\n\n\
                {\"path\": \"train/b.MP4\", \"start_frame\": 10, \"end_frame\": 24, \"split\": \"test\"}\n\
                {\"path\": \"train/b.MP4\", \"start\": 3.9999, \"split\": \"test\"}\n\
                {\"path\": \"./train/deep/a.mp4\"}\n";
    for (name, text) in [("manifest.csv", csv), ("manifest.jsonl", json)] {
        let videos = listed(&folder, name, text).unwrap();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let expected = ["train/b.MP4#2..5", "train/b.MP4#10..24", "train/b.MP4#20..24", "train/deep/a.mp4"];
        assert_eq!(names(&videos), expected, "{name}");
        assert_eq!(videos.episodes()[0].texts, ["open, then \"close\"\nthe drawer"]);
        assert!(videos.episodes()[3].texts.is_empty());
        assert_eq!(videos.splits(), ["test", "train"]);
        assert_eq!((videos.split("test").unwrap(), videos.split("train").unwrap()), (vec![1, 2], vec![0, 3]));
        // Two episodes share frames.
        let view = View { region: Region::FULL, height: 32, width: 48 };
        let read = |episode, frame| videos.read("video", &Stretch { episode, frames: vec![frame] }, &view);
        assert!(read(1, 10).unwrap() == read(2, 0).unwrap());
        let pixel = i32::from(read(0, 1).unwrap().rgb[0]);
        assert!((pixel - (20 + 8 * 3)).abs() < 4, "{pixel}");
        let times = &videos.rows(&[1]).unwrap()[0].times;
        assert!(times[0] == 0.0 && (times[13] - 2.6).abs() < 1e-9);
        let mut shared = [0, 0];
        let wanted =
            [1, 2].map(|episode| Stretch { episode, frames: vec![if episode == 1 { 10 } else { 0 }] });
        videos
            .read_many("video", &wanted, &view, &mut |decoded| {
                shared[decoded.stretch] += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(shared, [1, 1]);
    }
}

#[test]
fn wrong_manifests_name_line_and_field() {
    let folder = three();
    let cases = [
        ("file,start\nx,1\n", "line 1, header"),
        ("", "line 1, header"),
        ("path\n", "line 1, rows"),
        ("path,start\ntrain/b.MP4\n", "line 2, cells"),
        ("path,start\ntrain/b.MP4,soon\n", "line 2, start"),
        ("path,start\ntrain/b.MP4,-1\n", "line 2, start"),
        ("path,end\ntrain/b.MP4,NaN\n", "line 2, end"),
        ("path,end_frame\n\ntrain/b.MP4,1.5\n", "line 3, end_frame"),
        ("path,start,start_frame\ntrain/b.MP4,1,1\n", "line 2, start, end"),
        ("path,text\ntrain/b.MP4,\"open\n", "line 2, cells"),
        ("path\n../b.mp4\n", "line 2, path"),
        ("path\n/etc/film.mp4\n", "line 2, path"),
        ("path,text\n,x\n", "line 2, path"),
    ];
    for (text, field) in cases {
        let error = listed(&folder, "manifest.csv", text).err().expect(text).to_string();
        assert!(error.contains("manifest.csv") && error.contains(field), "{text:?}: {error}");
    }
    std::fs::remove_file(folder.path().join("manifest.csv")).unwrap();
    let error = listed(&folder, "manifest.jsonl", "{\"path\": \"train/b.MP4\"}\n[1\n").err().unwrap();
    assert!(error.to_string().contains("line 2, JSON"), "{error}");
    let options = OpenOptions { manifest: Some("list.txt".into()), ..OpenOptions::default() };
    std::fs::write(folder.path().join("list.txt"), "path\n").unwrap();
    let options = OpenOptions { manifest: Some(folder.path().join("list.txt")), ..options };
    let error = Videos::open(folder.path(), &options).err().unwrap();
    assert!(matches!(error, Error::Setting { field: "manifest", .. }), "{error}");
}

#[test]
fn broken_files_are_left_out_and_named() {
    let folder = three();
    std::fs::write(folder.path().join("train/broken.mp4"), b"nothing").unwrap();
    std::fs::write(folder.path().join("train/._b.mp4"), b"a note of another system").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"no video").unwrap();
    let videos = opened(&folder).unwrap();
    assert_eq!(names(&videos), ["train/b.MP4", "train/deep/a.mp4", "val/c.mov"]);
    let [(file, why)] = videos.skipped() else { panic!("{:?}", videos.skipped()) };
    assert!(file.ends_with("train/broken.mp4") && why.contains("moov"), "{file:?}: {why}");

    // Rows of a manifest that meet no frame, or no file.
    let list = "path,start,end_frame\ntrain/b.MP4,,\ntrain/b.MP4,100,\ntrain/b.MP4,,25\nnone.mp4,,\n";
    let videos = listed(&folder, "manifest.csv", list).unwrap();
    assert_eq!(names(&videos), ["train/b.MP4"]);
    let reasons: Vec<&str> = videos.skipped().iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].contains("line 3") && reasons[1].contains("0..25 of a video of 24"), "{reasons:?}");
}

#[test]
#[cfg(not(feature = "ffmpeg"))]
fn files_that_only_ffmpeg_reads_are_left_out_with_the_feature_named() {
    let folder = three();
    std::fs::copy(Path::new(DATA).join("vp9_hidden.webm"), folder.path().join("d.webm")).unwrap();
    let videos = opened(&folder).unwrap();
    assert_eq!(videos.episodes().len(), 3);
    let [(file, why)] = videos.skipped() else { panic!("{:?}", videos.skipped()) };
    assert!(file.ends_with("d.webm") && why.contains("--features ffmpeg"), "{why}");
}

#[test]
fn folders_without_a_usable_video_are_errors() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(detect(empty.path()), Err(Error::MissingFile { .. })));
    let text = opened(&empty).err().unwrap().to_string();
    assert!(text.contains("mp4, mov"), "{text}");
    std::fs::write(empty.path().join("a.mp4"), b"nothing").unwrap();
    let text = opened(&empty).err().unwrap().to_string();
    assert!(text.contains("1 that cannot be used") && text.contains("a.mp4"), "{text}");
    let missing = Videos::open(Path::new("no/folder"), &OpenOptions::default());
    assert!(matches!(missing, Err(Error::MissingFolder { .. })));
}

#[test]
fn senseless_requests_name_the_argument() {
    let folder = three();
    let videos = opened(&folder).unwrap();
    let view = View { region: Region::FULL, height: 4, width: 4 };
    let read = |episode, frames: &[usize], view: &View| {
        videos.read("video", &Stretch { episode, frames: frames.to_vec() }, view).err().unwrap().to_string()
    };
    assert!(read(3, &[0], &view).contains("episode"));
    assert!(read(0, &[24], &view).contains("frames"));
    assert!(read(0, &[2, 1], &view).contains("frames"));
    assert!(read(0, &[0], &View { height: 0, ..view }).contains("view"));
    assert!(matches!(videos.rows(&[9]), Err(Error::Setting { field: "episode", .. })));
    let other = videos.read("wrist", &Stretch { episode: 0, frames: vec![0] }, &view);
    assert!(matches!(other, Err(Error::Camera { .. })));
}

#[test]
fn a_file_that_vanishes_is_named() {
    let folder = three();
    let videos = opened(&folder).unwrap();
    std::fs::remove_file(folder.path().join("val/c.mov")).unwrap();
    let view = View { region: Region::FULL, height: 4, width: 4 };
    let error = videos.read("video", &Stretch { episode: 2, frames: vec![0] }, &view).err().unwrap();
    assert!(error.to_string().contains("c.mov"), "{error}");
}

#[test]
#[cfg(unix)]
fn links_to_files_are_followed_and_links_to_folders_are_not() {
    use std::os::unix::fs::symlink;
    let (inside, outside) = (three(), folder(&[("b.mp4", "b_frames.mp4")]));
    let folder = inside;
    symlink(outside.path().join("b.mp4"), folder.path().join("link.mp4")).unwrap();
    symlink(outside.path(), folder.path().join("elsewhere")).unwrap();
    symlink(outside.path(), folder.path().join("folder.mp4")).unwrap();
    symlink(outside.path().join("none.mp4"), folder.path().join("broken.mp4")).unwrap();
    symlink(folder.path(), folder.path().join("train/circle")).unwrap();
    symlink(folder.path().join("val/c.mov"), folder.path().join("train/z.mov")).unwrap();
    let videos = opened(&folder).unwrap();
    let expected = ["link.mp4", "train/b.MP4", "train/deep/a.mp4", "train/z.mov", "val/c.mov"];
    assert_eq!(names(&videos), expected);
    let [(file, why)] = videos.skipped() else { panic!("{:?}", videos.skipped()) };
    assert!(file.ends_with("broken.mp4"), "{file:?}: {why}");
    let videos = listed(&folder, "manifest.csv", "path\nval/c.mov\nlink.mp4\nelsewhere/b.mp4\n").unwrap();
    assert_eq!(names(&videos), ["val/c.mov", "link.mp4"]);
    assert!(videos.skipped().iter().all(|(_, why)| why.contains("link")), "{:?}", videos.skipped());

    // The file that the user names.
    let videos = Videos::open(&folder.path().join("link.mp4"), &OpenOptions::default()).unwrap();
    assert_eq!((names(&videos), videos.episodes()[0].frames), (vec!["link.mp4"], 24));
}

/// The cache of a hub: the folder holds links with names, the content lies elsewhere without.
#[test]
#[cfg(unix)]
fn a_folder_of_links_to_blobs_is_read() {
    let cache = folder(&[("blobs/abc", "b_frames.mp4")]);
    let snapshot = cache.path().join("snapshots/x");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/abc", snapshot.join("film.mp4")).unwrap();
    assert_eq!(detect(&snapshot).unwrap(), Format::Videos);
    let videos = Videos::open(&snapshot, &OpenOptions::default()).unwrap();
    assert_eq!(names(&videos), ["film.mp4"]);
    let view = View { region: Region::FULL, height: 4, width: 4 };
    assert_eq!(videos.read("video", &Stretch { episode: 0, frames: vec![23] }, &view).unwrap().count, 1);
}

#[test]
fn a_bare_file_name_is_looked_for_here() {
    // The other tests name whole paths, or one that is nowhere.
    std::env::set_current_dir(DATA).unwrap();
    let name = Path::new("b_frames.mp4");
    assert_eq!(VideoFile::open(name).unwrap().frames(), 24);
    let videos = Videos::open(name, &OpenOptions::default()).unwrap();
    assert_eq!(names(&videos), ["b_frames.mp4"]);
    assert!(videos.skipped().is_empty());
}

/// Calls `work` and fails if it takes as long as opening a pipe without a writer does.
#[cfg(unix)]
fn within_seconds<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive.recv_timeout(std::time::Duration::from_secs(20)).expect("it hangs")
}

#[test]
#[cfg(unix)]
fn pipes_are_passed_over_or_refused_but_never_waited_for() {
    let folder = three();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let film = pipe("train/pipe.mp4");
    std::os::unix::fs::symlink(&film, folder.path().join("train/link.mp4")).unwrap();
    pipe("pipe.hdf5");
    let root = folder.path().to_owned();
    let videos =
        within_seconds(move || (detect(&root).unwrap(), open(&root, &OpenOptions::default()).unwrap())).1;
    assert_eq!((videos.format(), videos.episodes().len()), (Format::Videos, 3));
    within_seconds(move || {
        assert!(VideoFile::open(&film).is_err());
        assert!(Videos::open(&film, &OpenOptions::default()).is_err());
        assert!(open(&film, &OpenOptions::default()).is_err());
    });
}
