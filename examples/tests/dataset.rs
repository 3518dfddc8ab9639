//! The program `dataset` as a user runs it, on sound and on damaged data.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use candle_core::{DType, Device, Tensor};
use cola_coevolve::checkpoint;
use cola_data::{ClipOptions, EpisodeClips, Exclusions, LeRobot, Region, Run, collate};
use cola_dit_world::{LatentCodec, SpaceToDepth};
use cola_nn::Params;
use cola_report::{Image, save_mp4};
use cola_video_vae::{Pretrained, VideoVae, VideoVaeConfig};
use serde_json::Value;
use support::program;

const PUSHT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/pusht_lerobot");
const GENERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/generator_tiny");

fn run(arguments: &[&str]) -> Output {
    program("dataset").args(arguments).output().expect("the program starts")
}

/// Exit status and what stood on standard output.
fn status(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("a plain path").to_string()
}

fn json(folder: &str, name: &str) -> Value {
    let text = std::fs::read(Path::new(folder).join(name)).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy")),
        }
    }
}

/// A copy of the Push-T set: 60 episodes of 16 frames in one video of 5 frames per second.
fn pusht(root: &Path) -> (String, PathBuf) {
    let folder = root.join("data");
    copy(Path::new(PUSHT), &folder);
    let video = folder.join("videos/observation.image/chunk-000/file-000.mp4");
    assert!(video.is_file());
    (path(root, "data"), video)
}

/// Replaces the video by one that is black in `black` and stands still in `still`.
fn film(video: &Path, black: std::ops::Range<usize>, still: std::ops::Range<usize>) {
    let picture = |frame: usize| {
        let at = if still.contains(&frame) { still.start } else { frame };
        let mut picture = Image::new(128, 128, [40, 60, 80]);
        picture.fill(at * 7 % 90, at * 3 % 100, 24, 24, [230, 200, 40]);
        if black.contains(&frame) { Image::new(128, 128, [0; 3]) } else { picture }
    };
    save_mp4(video, &(0..960).map(picture).collect::<Vec<_>>(), 5.0).expect("a video");
}

#[test]
fn inspect_counts_draws_and_writes_what_is_there() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "out");
    let told = support::succeeds(&run(&["inspect", PUSHT, "--split", "valid", "--out", &out]));
    for part in
        ["format lerobot", "episodes   6", "96, 16 in each episode", "5 frames per second", "128 x 128"]
    {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    let report = json(&out, "inspect.json");
    let dataset = LeRobot::open(Path::new(PUSHT)).expect("a set");
    let rows = cola_data::Dataset::rows(&dataset, &(48..54).collect::<Vec<_>>()).expect("rows");
    let first: Vec<f64> =
        rows.iter().flat_map(|rows| rows.actions.iter().step_by(2)).map(|&value| f64::from(value)).collect();
    let most = first.iter().copied().fold(f64::MIN, f64::max);
    assert_eq!(report["actions"][0]["max"].as_f64(), Some(most));
    let mean = first.iter().sum::<f64>() / 96.0;
    assert!((report["actions"][0]["mean"].as_f64().expect("a mean") - mean).abs() < 1e-9 * mean.abs());
    assert_eq!((report["frames"].as_u64(), report["action_dim"].as_u64()), (Some(96), Some(2)));
    assert_eq!(report["seconds"].as_f64(), Some(19.2));
    for name in ["sheet.png", "actions.png"] {
        assert!(std::fs::metadata(Path::new(&out).join(name)).is_ok_and(|file| file.len() > 1000), "{name}");
    }
}

#[test]
fn inspect_says_that_there_are_no_actions() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, _) = pusht(root.path());
    let mut info = json(&data, "meta/info.json");
    info["features"].as_object_mut().expect("features").remove("action");
    std::fs::write(Path::new(&data).join("meta/info.json"), info.to_string()).expect("a file");
    let out = path(root.path(), "out");
    let told =
        support::succeeds(&run(&["inspect", &data, "--episodes", "2", "--frames", "3", "--out", &out]));
    assert!(told.contains("actions    none"), "{told}");
    assert!(!Path::new(&out).join("actions.png").exists());
}

#[test]
fn a_sound_set_passes_validation() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "out");
    let (code, told) =
        status(&["validate", PUSHT, "--split", "valid", "--strict", "--repair", "--out", &out]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("sound") && told.contains("0 of 96 frames"), "{told}");
    let report = json(&out, "validate.json");
    assert_eq!(
        (report["passed"].as_bool(), report["findings"].as_array().map(Vec::len)),
        (Some(true), Some(0))
    );
    assert_eq!(
        Exclusions::read(&Path::new(&out).join("exclude.json")).expect("a list"),
        Exclusions::default()
    );
}

#[test]
fn warnings_fail_a_strict_validation_only() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, video) = pusht(root.path());
    // Frames 3 to 14 of episode 49.
    film(&video, 0..0, 787..799);
    let out = path(root.path(), "out");
    let common = ["validate", &data, "--split", "valid", "--repair", "--out", &out];
    let (code, told) = status(&common);
    assert_eq!(code, Some(0), "{told}");
    for part in ["warning", "episode 49", "frames 3 to 14", "1 warning, no errors", "0 of 96 frames"] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    let (code, told) = status(&[&common[..], &["--strict"]].concat());
    assert_eq!(code, Some(1), "{told}");
    let list = Exclusions::read(&Path::new(&out).join("exclude.json")).expect("a list");
    assert_eq!(list.keep(49, 16), [0..3, 15..16]);
    // Twelve pictures are no longer too many.
    let (code, told) = status(&[&common[..], &["--strict", "--frozen", "13"]].concat());
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn errors_fail_and_their_frames_are_left_out() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, video) = pusht(root.path());
    // The last two frames of episode 48 and the first of episode 49.
    film(&video, 782..785, 0..0);
    let out = path(root.path(), "out");
    let (code, told) = status(&["validate", &data, "--split", "valid", "--repair", "--out", &out]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("2 errors") && told.contains("3 of 96 frames"), "{told}");
    let report = json(&out, "validate.json");
    let finding = &report["findings"][0];
    assert_eq!(
        (finding["episode"].as_u64(), finding["what"].as_str(), finding["severity"].as_str()),
        (Some(48), Some("black"), Some("error"))
    );
    assert_eq!(finding["frames"], serde_json::json!([14, 16]));
    let list = Exclusions::read(&Path::new(&out).join("exclude.json")).expect("a list");
    let kept = |episode| list.keep(episode, 16).into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(kept(48), (0..14).collect::<Vec<_>>());
    assert_eq!(kept(49), (1..16).collect::<Vec<_>>());

    // What cannot be decoded at all is left out whole.
    let bytes = std::fs::read(&video).expect("a video");
    std::fs::write(&video, &bytes[..bytes.len() / 2]).expect("half of it");
    let (code, told) = status(&["validate", &data, "--split", "valid", "--repair", "--out", &out]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("96 of 96 frames") && told.contains("file-000.mp4"), "{told}");
    support::fails(&run(&["inspect", &data, "--out", &out]), &["file-000.mp4", "dataset validate"]);
}

#[test]
fn latents_are_those_that_a_runs_world_model_sees() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "out");
    let told = support::succeeds(&run(&[
        "encode",
        PUSHT,
        "--split",
        "valid",
        "--checkpoint",
        GENERATOR,
        "--out",
        &out,
    ]));
    assert!(told.contains("6 episodes in 1 shards"), "{told}");
    let found = tensors(&out);
    let folder = Path::new(GENERATOR);
    let config = checkpoint::config(folder).expect("a configuration");
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let codec = SpaceToDepth::new(&config.codec, params.frozen()).expect("a codec");
    params.load(&folder.join("codec.safetensors")).expect("its numbers");
    let options = ClipOptions { region: Region::FULL, ..config.clip_options() };
    let dataset = LeRobot::open(Path::new(PUSHT)).expect("a set");
    let clips = EpisodeClips::load(&dataset, &[Run { episode: 50, frames: 0..16 }], &options, &mut |_, _| {})
        .expect("clips");
    let side = config.data.world_size;
    let batch = collate(&[clips.run_clip(0, 0, 16).expect("a clip")], side, side, &Device::Cpu);
    let expected =
        codec.encode(&batch.expect("a batch").world_view).and_then(|z| z.squeeze(0)).expect("latents");
    let (found, expected) = (values(&found["episode.000050"]), values(&expected));
    let furthest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(found.len(), expected.len());
    // The order of additions may differ with the number of frames.
    assert!(furthest < 1e-5, "{furthest}");
}

#[test]
fn an_interrupted_encoding_goes_on_where_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "out");
    let common = ["encode", PUSHT, "--dtype", "f16", "--shard-mib", "1", "--out", &out, "--side", "64"];
    let told = support::succeeds(&run(&[&common[..], &["--split", "valid"]].concat()));
    assert!(told.contains("6 episodes in 2 shards"), "{told}");
    let whole = tensors(&out);
    assert_eq!(
        (whole["episode.000048"].dims(), whole["episode.000048"].dtype()),
        (&[48, 16, 16, 16][..], DType::F16)
    );

    // One shard is lost; the episodes of the other stay.
    let kept = Path::new(&out).join("latents-00001.safetensors");
    let before = std::fs::metadata(&kept).and_then(|file| file.modified()).expect("a time");
    std::fs::remove_file(Path::new(&out).join("latents-00000.safetensors")).expect("a shard");
    let told = support::succeeds(&run(&[&common[..], &["--split", "valid"]].concat()));
    assert!(told.contains("resumes") && told.contains("6 episodes in 2 shards"), "{told}");
    assert_eq!(std::fs::metadata(&kept).and_then(|file| file.modified()).expect("a time"), before);
    for (name, tensor) in tensors(&out) {
        assert_eq!(values(&tensor), values(&whole[&name]), "{name}");
    }

    // A shard with a flipped byte is made again.
    let mut bytes = std::fs::read(&kept).expect("a shard");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&kept, bytes).expect("a shard");
    let output = run(&[&common[..], &["--split", "valid"]].concat());
    support::succeeds(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("latents-00001.safetensors: damaged"));
    assert_eq!(values(&tensors(&out)["episode.000053"]), values(&whole["episode.000053"]));

    // More episodes of the same set join them; other latents do not.
    let told = support::succeeds(&run(&[&common[..], &["--split", "test"]].concat()));
    assert!(told.contains("12 episodes"), "{told}");
    let other = ["encode", PUSHT, "--split", "valid", "--out", &out, "--side", "64"];
    support::fails(&run(&other), &["latents.json", "dtype: \"f16\" there, \"f32\" wanted", "--out"]);
}

#[test]
fn the_video_vae_encodes_chunks() {
    let root = tempfile::tempdir().expect("a folder");
    let (vae, out) = (path(root.path(), "vae"), path(root.path(), "out"));
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    VideoVae::new(&VideoVaeConfig::tiny(), params.frozen()).expect("a model");
    Pretrained::new(VideoVaeConfig::tiny(), params).save_pretrained(Path::new(&vae)).expect("a folder");
    let common = ["encode", PUSHT, "--split", "valid", "--vae", &vae, "--side", "16", "--out", &out];
    support::succeeds(&run(&[&common[..], &["--frames-per-latent", "4"]].concat()));
    let found = tensors(&out);
    assert_eq!((found.len(), found["episode.000048"].dims()), (6, &[4, 4, 2, 2][..]));
    assert_eq!(json(&out, "latents.json")["made"]["codec"]["frames_per_latent"].as_u64(), Some(4));
}

#[test]
fn wrong_input_is_refused_with_what_to_do() {
    let root = tempfile::tempdir().expect("a folder");
    let out = path(root.path(), "out");
    support::fails(&run(&["inspect", "nowhere", "--out", &out]), &["nowhere"]);
    support::fails(&run(&["inspect", PUSHT, "--split", "other", "--out", &out]), &["other", "valid"]);
    support::fails(
        &run(&["validate", PUSHT, "--camera", "other", "--out", &out]),
        &["other", "observation.image"],
    );
    support::fails(&run(&["inspect", PUSHT, "--format", "other"]), &["lerobot, videos"]);
    support::fails(&run(&["inspect", PUSHT, "--rate", "0"]), &["above 0"]);
    support::fails(&run(&["encode", PUSHT, "--side", "30", "--out", &out]), &["--side 30", "multiple of 4"]);
    support::fails(&run(&["encode", PUSHT, "--checkpoint", "nowhere"]), &["nowhere", "neither a checkpoint"]);
    support::fails(&run(&["encode", PUSHT, "--frames-per-latent", "4"]), &["--vae"]);
    assert!(!Path::new(&out).exists(), "nothing is made for nothing");
}

/// The tensors of all shards that `latents.json` names.
fn tensors(out: &str) -> std::collections::BTreeMap<String, Tensor> {
    let manifest = json(out, "latents.json");
    let shards = manifest["shards"].as_array().expect("shards");
    let read = |shard: &Value| {
        cola_nn::read_tensors(&Path::new(out).join(shard["file"].as_str().expect("a name"))).expect("a shard")
    };
    shards.iter().flat_map(read).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_dtype(DType::F32)?.to_vec1()).expect("values")
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let root = tempfile::tempdir().expect("a folder");
    let mut command = program("dataset");
    command.args(["inspect", PUSHT, "--out", &path(root.path(), "out")]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
