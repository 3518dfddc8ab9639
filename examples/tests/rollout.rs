//! The program `rollout` as a user runs it: models of every kind, the same seed twice, wrong input.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::{DType, Device, Tensor};
use cola_coevolve::{ExperimentConfig, SystemParams};
use cola_dit_world::{DitConfig, DitWorld, Pretrained, TextConfig};
use cola_nn::{Params, save_tensors};
use cola_video_vae::{Pretrained as PretrainedVae, VideoVae, VideoVaeConfig};
use support::program;

fn run(out: &Path, arguments: &[&str]) -> Output {
    program("rollout").arg("--out").arg(out).args(arguments).output().expect("the program starts")
}

fn succeeds(out: &Path, arguments: &[&str]) -> String {
    support::succeeds(&run(out, arguments))
}

fn fails(out: &Path, arguments: &[&str], parts: &[&str]) {
    support::fails(&run(out, arguments), parts);
}

fn read(out: &Path, name: &str) -> Vec<u8> {
    std::fs::read(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Frames of the GIF and their side; they are `side` pixels of the model each.
fn clip(out: &Path) -> (usize, u16) {
    let gif = read(out, "rollout.gif");
    let mut decoder = gif::Decoder::new(gif.as_slice()).expect("a GIF");
    let mut frames = 0;
    while decoder.next_frame_info().expect("a frame").is_some() {
        frames += 1;
    }
    (frames, decoder.width())
}

fn settings(out: &Path) -> serde_json::Value {
    let whole: serde_json::Value = serde_json::from_slice(&read(out, "rollout.json")).expect("JSON");
    assert!(whole["measured"]["seconds"]["evaluate"].as_f64().expect("a number") > 0.0);
    whole["settings"].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn write_actions(file: PathBuf, actions: Tensor) -> PathBuf {
    save_tensors(HashMap::from([("actions".to_string(), actions)]), &file).expect("a file");
    file
}

#[test]
fn the_shipped_generator_and_random_models_leave_videos_of_the_length_asked_for() {
    let root = tempfile::tempdir().expect("a folder");
    let plain = root.path().join("plain");
    let told = succeeds(&plain, &[]);
    for part in ["shipped generator", "used:", "transformer", "GFLOP/s", "peak memory", "rollout.mp4"] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    assert_eq!(clip(&plain), (9, 256));
    assert_eq!(settings(&plain)["side"], 32);
    assert!(!read(&plain, "rollout.mp4").is_empty());

    let four = root.path().join("four");
    let arguments =
        ["--random", "--size", "tiny", "--frames-per-latent", "4", "--frames", "9", "--random-actions"];
    succeeds(&four, &arguments);
    assert_eq!((clip(&four), settings(&four)["latent_frames"].as_u64()), ((9, 256), Some(3)));
    let again = root.path().join("again");
    succeeds(&again, &arguments);
    for name in ["rollout.png", "rollout.gif", "rollout.mp4"] {
        assert!(read(&four, name) == read(&again, name), "{name} differs with the same seed");
    }
    let other = root.path().join("other");
    succeeds(&other, &[&arguments[..], &["--seed", "1"]].concat());
    assert!(read(&four, "rollout.png") != read(&other, "rollout.png"), "the seed changes nothing");

    fails(&plain, &[], &["holds a run already", "rollout.json", "--out"]);
}

#[test]
fn a_runs_checkpoint_takes_codes_and_vectors_and_means_the_same_by_them() {
    let root = tempfile::tempdir().expect("a folder");
    let run = root.path().join("step-00000001");
    std::fs::create_dir(&run).expect("a folder");
    let mut config = ExperimentConfig::tiny();
    config.dit.action.zero_output = false;
    let params = SystemParams::new(&config, &Device::Cpu).expect("parameters");
    params.save(&run).expect("a checkpoint");
    std::fs::write(run.join("config.toml"), config.to_toml().expect("TOML")).expect("a file");
    let codes = Tensor::new(&[[0u32, 31], [7, 7], [31, 0]], &Device::Cpu).expect("codes");
    let book = params.lam.vars().into_iter().find(|(_, var)| var.dims() == [32, 32]).expect("a codebook").1;
    let vectors =
        book.index_select(&codes.flatten_all().expect("codes"), 0).and_then(|rows| rows.reshape((3, 64)));
    let codes = write_actions(root.path().join("codes.safetensors"), codes);
    let vectors = write_actions(root.path().join("vectors.safetensors"), vectors.expect("vectors"));

    let (by_code, by_vector) = (root.path().join("code"), root.path().join("vector"));
    let told = succeeds(&by_code, &["--weights", text(&run), "--actions", text(&codes)]);
    assert!(told.contains("latent action model"), "{told}");
    succeeds(&by_vector, &["--weights", text(&run), "--actions", text(&vectors)]);
    assert_eq!(clip(&by_code), (4, 256));
    assert!(
        read(&by_code, "rollout.png") == read(&by_vector, "rollout.png"),
        "codes and their vectors differ"
    );
    let free = root.path().join("free");
    succeeds(&free, &["--weights", text(&run), "--frames", "4"]);
    assert!(read(&by_code, "rollout.png") != read(&free, "rollout.png"), "the actions change nothing");

    let wrong = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).expect("zeros");
    let wrong = write_actions(root.path().join("wrong.safetensors"), wrong);
    let weights = ["--weights", text(&run), "--actions"];
    fails(&free, &[&weights[..], &[text(&wrong)]].concat(), &["[3, 5]", "[N, 64]", "[N, 2]"]);
    fails(&free, &[&weights[..], &[text(&codes), "--frames", "9"]].concat(), &["3 actions", "takes 8"]);
    let beyond = Tensor::new(&[[0u32, 32]], &Device::Cpu).expect("codes");
    let beyond = write_actions(root.path().join("beyond.safetensors"), beyond);
    fails(&free, &[&weights[..], &[text(&beyond)]].concat(), &["code 32", "0 to 31"]);
}

#[test]
fn published_layouts_open_as_the_papers_model_and_say_what_was_left() {
    let root = tempfile::tempdir().expect("a folder");
    let (weights, vae) = (root.path().join("stdit"), root.path().join("vae"));
    let config = DitConfig {
        in_channels: 4,
        patch: 2,
        pred_sigma: true,
        causal: false,
        text: Some(TextConfig { caption_channels: 8, model_max_length: 3 }),
        ..DitConfig::tiny()
    };
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    DitWorld::new(&config, params.frozen()).expect("a transformer");
    Pretrained::new(config, params, None).save_pretrained(&weights).expect("a checkpoint");
    let params = Params::seeded(1, DType::F32, &Device::Cpu);
    VideoVae::new(&VideoVaeConfig::tiny(), params.frozen()).expect("a VAE");
    PretrainedVae::new(VideoVaeConfig::tiny(), params).save_pretrained(&vae).expect("a checkpoint");

    let out = root.path().join("out");
    let picture = root.path().join("start.png");
    image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([4 * x as u8, 6 * y as u8, 90]))
        .save(&picture)
        .expect("a PNG");
    let told = succeeds(
        &out,
        &[
            "--weights",
            text(&weights),
            "--vae",
            text(&vae),
            "--image",
            text(&picture),
            "--side",
            "64",
            "--frames",
            "3",
            "--steps",
            "2",
        ],
    );
    for part in ["left in the file", "cross_attn", "action_conditioner", "start.png"] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    assert_eq!(clip(&out).0, 3);
}

#[test]
fn wrong_input_is_refused_with_what_was_found_and_what_would_do() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("out");
    let tiny = ["--random", "--size", "tiny"];
    let with = |more: &[&'static str]| [&tiny[..], more].concat();
    fails(
        &out,
        &with(&["--frames-per-latent", "4", "--frames", "8"]),
        &["--frames 8", "1 + 4 k", "works is 9"],
    );
    fails(&out, &with(&["--frames-per-latent", "4", "--frames", "24"]), &["23 actions", "give 24"]);
    fails(&out, &with(&["--frames-per-latent", "3"]), &["3", "1 (every frame", "4 (the temporal"]);
    fails(&out, &with(&["--side", "60"]), &["--side 60", "8 x 8", "64"]);
    fails(&out, &with(&["--side", "4096"]), &["--side 4096", "2160"]);
    fails(&out, &["--weights", "owner/name", "--frames", "1"], &["--frames 1", "no transition"]);
    fails(&out, &with(&["--guidance", "4"]), &["no actions", "--random-actions"]);
    fails(&out, &with(&["--window", "2", "--context", "2"]), &["window of 2"]);
    fails(&out, &["--random-actions"], &["knows no actions", "leave the option out"]);
    fails(&out, &["--frames-per-latent", "4"], &["made for 1"]);

    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    std::fs::write(empty.join("notes.txt"), "nothing").expect("a file");
    fails(
        &out,
        &["--weights", text(&empty)],
        &["not a checkpoint", "notes.txt", "config.toml", "config.json"],
    );
    fails(&out, &["--weights", text(&empty.join("notes.txt"))], &["a file instead of a folder"]);
    fails(&out, &["--image", text(&empty.join("notes.txt"))], &["notes.txt", "PNG or JPEG"]);
    fails(&out, &["--weights", "owner/name"], &["owner/name", "hub"]);
    assert!(!out.exists(), "a rollout that never began left a folder");
}
