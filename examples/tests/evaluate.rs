//! The program `evaluate` as a user runs it: folders, datasets, a checkpoint's rollouts, unreadable clips, wrong input.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use cola_report::{Image, save_mp4};
use serde_json::Value;
use support::program;

fn run(out: &Path, arguments: &[&str]) -> Output {
    program("evaluate").arg("--out").arg(out).args(arguments).output().expect("the program starts")
}

fn succeeds(out: &Path, arguments: &[&str]) -> (String, Value) {
    let told = support::succeeds(&run(out, arguments));
    let report = std::fs::read(out.join("report.json")).expect("report.json");
    for name in ["frames.csv", "horizon.png", "best.png", "worst.png"] {
        assert!(out.join(name).metadata().is_ok_and(|file| file.len() > 0), "{name} is missing");
    }
    (told, serde_json::from_slice(&report).expect("JSON"))
}

fn fails(out: &Path, arguments: &[&str], parts: &[&str]) {
    support::fails(&run(out, arguments), parts);
    assert!(!out.join("report.json").exists());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A square that moves over a grey ground, `shift` levels brighter.
fn clip(frames: usize, shift: u8) -> Vec<Image> {
    (0..frames)
        .map(|frame| {
            let mut image = Image::new(48, 32, [100 + shift; 3]);
            image.paste(2 * frame, 8, &Image::new(8, 8, [200, 60, 20 + shift]));
            image
        })
        .collect()
}

fn write_pictures(folder: &Path, frames: &[Image]) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (number, image) in frames.iter().enumerate() {
        image.save_png(folder.join(format!("frame_{number}.png"))).expect("a picture");
    }
}

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("{field} in {report}"))
}

#[test]
fn folders_of_pictures_have_the_values_that_can_be_computed_by_hand() {
    let root = tempfile::tempdir().expect("a folder");
    let [real, generated] = ["real", "generated"].map(|name| root.path().join(name));
    for (name, shift) in [("a", 5), ("b", 10)] {
        write_pictures(&real.join(name), &clip(12, 0));
        write_pictures(&generated.join(name), &clip(12, shift));
    }
    let out = root.path().join("out");
    let (told, report) = succeeds(&out, &[text(&real), text(&generated), "--frames", "12", "--no-fvd"]);
    assert_eq!((report["clips"].as_u64(), report["frames"].as_u64()), (Some(2), Some(22)));
    // The ground moves by 5 or 10 levels in three channels, the square, 64 of 1536 pixels, in one.
    let error = |shift: f64| (shift / 255.0).powi(2) * (1.0 - 64.0 / 1536.0 * 2.0 / 3.0);
    let psnr = [5.0, 10.0].map(|shift| -10.0 * error(shift).log10());
    assert!((number(&report, "psnr") - (psnr[0] + psnr[1]) / 2.0).abs() < 1e-9);
    let pooled = -10.0 * ((error(5.0) + error(10.0)) / 2.0).log10();
    assert!((number(&report, "psnr_pooled") - pooled).abs() < 1e-9);
    assert!(report["fvd"].is_null() && report["lpips"].is_null());
    assert!(report["protocol_in_words"].as_str().expect("words").contains("11 frames, n = 2"));
    assert!(told.contains("SSIM x 100"), "{told}");
    let table = std::fs::read_to_string(out.join("frames.csv")).expect("frames.csv");
    assert_eq!(table.lines().count(), 1 + 22);
    assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("a,0,1,")), "{table}");
}

#[test]
fn unreadable_clips_are_named_and_left_out_up_to_the_budget() {
    let root = tempfile::tempdir().expect("a folder");
    let [real, generated] = ["real", "generated"].map(|name| root.path().join(name));
    for (folder, shift) in [(&real, 0), (&generated, 20)] {
        std::fs::create_dir_all(folder).expect("a folder");
        for name in ["good", "cut", "short"] {
            let frames = if name == "short" { 3 } else { 12 };
            save_mp4(folder.join(format!("{name}.mp4")), &clip(frames, shift), 5.0).expect("a video");
        }
    }
    std::fs::write(generated.join("cut.mp4"), b"no video").expect("a file");
    write_pictures(&real.join("alone"), &clip(12, 0));
    let arguments = [text(&real), text(&generated), "--frames", "6", "--no-fvd"];
    let (told, report) = succeeds(&root.path().join("out"), &arguments);
    assert_eq!(report["clips"].as_u64(), Some(2), "a video of 12 frames is two clips of 6");
    let left_out: Vec<&str> = report["left_out"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|clip| clip["clip"].as_str().expect("a name"))
        .collect();
    assert_eq!(left_out, ["alone", "cut", "short"]);
    assert!(told.contains("left out   3"), "{told}");
    let two = [arguments.as_slice(), &["--budget", "2"]].concat();
    fails(&root.path().join("two"), &two, &["3 clips cannot be scored", "short: 3 frames", "--budget"]);
}

#[test]
fn a_dataset_against_itself_is_perfect_and_its_floor_is_not() {
    let root = tempfile::tempdir().expect("a folder");
    let pusht = data("pusht_lerobot");
    let out = root.path().join("out");
    let arguments = [text(&pusht), text(&pusht), "--size", "32x32", "--clips", "4"];
    let (_, report) = succeeds(&out, &arguments);
    assert_eq!((number(&report, "psnr"), number(&report, "ssim")), (100.0, 1.0));
    assert!(number(&report["fvd"], "fvd").abs() < 1e-6);
    assert!(number(&report["fvd"], "floor") > 1.0);
}

#[test]
fn the_shipped_generator_continues_clips_and_says_how() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("out");
    let arguments = ["--frames", "4", "--clips", "3", "--no-fvd"];
    let (told, report) = succeeds(&out, &arguments);
    assert_eq!((report["clips"].as_u64(), report["frames"].as_u64()), (Some(3), Some(9)));
    assert!((10.0..40.0).contains(&number(&report, "psnr")));
    assert!(told.contains("no actions"), "{told}");
    let again = root.path().join("again");
    succeeds(&again, &arguments);
    let table = |folder: &Path| std::fs::read(folder.join("frames.csv")).expect("frames.csv");
    assert_eq!(table(&out), table(&again), "the same seed, the same numbers");
}

#[test]
fn clips_of_different_sizes_and_a_lone_survivor_still_give_a_report() {
    let root = tempfile::tempdir().expect("a folder");
    let [real, generated] = ["real", "generated"].map(|name| root.path().join(name));
    for (folder, shift) in [(&real, 0), (&generated, 9)] {
        write_pictures(&folder.join("wide"), &clip(12, shift));
        let tall: Vec<Image> = (0..12).map(|_| Image::new(20, 140, [60 + shift; 3])).collect();
        write_pictures(&folder.join("tall"), &tall);
    }
    let arguments = [text(&real), text(&generated), "--frames", "12"];
    let (_, report) = succeeds(&root.path().join("sizes"), &arguments);
    assert_eq!(report["clips"].as_u64(), Some(2));
    std::fs::write(generated.join("tall/frame_3.png"), b"no picture").expect("a file");
    let (told, report) = succeeds(&root.path().join("one"), &arguments);
    assert_eq!(report["clips"].as_u64(), Some(1));
    assert!(report["fvd"].is_null() && told.contains("needs two clips"), "{told}");
    std::fs::rename(generated.join("wide/frame_3.png"), generated.join("wide/frame_99.png"))
        .expect("renamed");
    fails(&root.path().join("none"), &arguments, &["other numbers", "no clip could be scored"]);
}

#[test]
fn wrong_input_is_refused_with_the_next_step() {
    let root = tempfile::tempdir().expect("a folder");
    let out = root.path().join("out");
    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let [robodesk, missing] = [data("robodesk_lerobot"), root.path().join("missing")];
    let (robodesk, missing, empty) = (text(&robodesk), text(&missing), text(&empty));
    fails(&out, &[robodesk], &["compare it with what?", "GENERATED"]);
    fails(&out, &[robodesk, missing], &["missing: no such folder"]);
    fails(&out, &[robodesk, empty], &["meta/info.json", "two of a kind"]);
    fails(&out, &[empty, empty], &["no videos here", ".mp4"]);
    fails(&out, &[robodesk, robodesk, "--given", "16"], &["no frame is left"]);
    fails(&out, &[robodesk, robodesk, "--split", "nowhere"], &["nowhere"]);
    fails(&out, &[robodesk, robodesk, "--frames", "9"], &["at least 9 frames", "--no-fvd"]);
    let long = [robodesk, robodesk, "--frames", "32", "--budget", "100"];
    fails(&out, &long, &["no clip", "episode 599: 16 frames"]);
    fails(
        &out,
        &["--lpips", "alex=missing.safetensors"],
        &["alexnet-owt-7be5be79.pth", "download.pytorch.org"],
    );
    fails(&out, &["--size", "64x64"], &["--size", "its own size"]);
    fails(&out, &["--guidance", "3"], &["--guidance", "no actions"]);
    fails(&out, &[robodesk, robodesk, "--guidance", "3"], &["--guidance", "--checkpoint"]);
    fails(&out, &["--lpips", "resnet=x"], &["alex, vgg or squeeze"]);
    fails(&out, &["--i3d", missing], &["missing"]);
    fails(&out, &["--checkpoint", empty], &["checkpoint"]);
    fails(&out, &["--actions", "own"], &["--actions", "no latent action model"]);
}
