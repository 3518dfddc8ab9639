//! Protocols, scores and reports: what they say, how they merge, what they refuse.

use candle_core::{DType, Device};
use cola_metrics::{
    ClipScores, Curve, Error, Evaluator, Lpips, LpipsConfig, Network, Protocol, PsnrMode, Report, Scores,
    Video,
};
use cola_nn::Params;
use cola_random::{normals, stream, uniforms};

/// A clip's scores, drawn by its index.
fn clip(index: u64) -> ClipScores {
    let mut rng = stream(7, "scores", 0, index);
    let frames = 3 + (index % 4) as usize;
    let mut draw = |low: f32, high: f32| -> Vec<f64> {
        uniforms(frames, low, high, &mut rng).into_iter().map(f64::from).collect()
    };
    let (psnr, ssim, lpips) = (draw(15.0, 40.0), draw(0.2, 1.0), draw(0.0, 0.5));
    let mse = psnr.iter().map(|psnr| 10f64.powf(-psnr / 10.0)).collect();
    let mut rng = stream(7, "logits", 0, index);
    let logits = [normals(8, &mut rng), normals(8, &mut rng)];
    ClipScores { mse, psnr, ssim, lpips: Some(lpips), logits: Some(logits) }
}

fn scored(indices: impl Iterator<Item = u64>) -> Scores {
    let mut scores = Scores::new(Protocol::default());
    indices.for_each(|index| scores.add(index, &clip(index)).unwrap());
    scores
}

fn numbers(report: &Report) -> Vec<f64> {
    let curve = |curve: &Curve| {
        let mut all: Vec<f64> = curve.by_frame().filter_map(|tally| tally.mean()).collect();
        all.extend([curve.mean().unwrap(), curve.by_clip().std_error().unwrap()]);
        all
    };
    let fvd = report.fvd.as_ref().unwrap();
    let mut all =
        vec![report.psnr_pooled, fvd.fvd, fvd.floor.unwrap(), fvd.kvd.unwrap(), fvd.cosine.unwrap()];
    all.extend([curve(&report.psnr), curve(&report.ssim), curve(report.lpips.as_ref().unwrap())].concat());
    all
}

#[test]
fn any_number_of_workers_merged_equals_one() {
    let one = numbers(&scored(0..60).finish().unwrap());
    for workers in [2, 3, 7] {
        let mut all = Scores::new(Protocol::default());
        for worker in (0..workers).rev() {
            all.merge(scored((worker..60).step_by(workers as usize))).unwrap();
        }
        assert_eq!(all.clips(), 60);
        for (found, expected) in numbers(&all.finish().unwrap()).iter().zip(&one) {
            assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1.0), "{found} {expected}");
        }
    }
}

#[test]
fn a_short_curve_takes_in_a_longer_one_whole() {
    let [mut short, mut long] = [Curve::default(), Curve::default()];
    short.add(&[1.0]);
    long.add(&[3.0, 5.0, 7.0]);
    short.merge(&long);
    let means: Vec<f64> = short.by_frame().filter_map(|tally| tally.mean()).collect();
    assert_eq!((means, short.by_clip().mean()), (vec![2.0, 5.0, 7.0], Some(3.0)));
}

#[test]
fn curves_are_means_by_frame_over_the_clips_that_reach_it() {
    let report = scored(0..8).finish().unwrap();
    let counts: Vec<u64> = report.psnr.by_frame().map(|tally| tally.count()).collect();
    assert_eq!(counts, [8, 8, 8, 6, 4, 2]); // two clips each of 3, 4, 5 and 6 frames
    let last = [clip(3), clip(7)].iter().map(|clip| clip.psnr[5]).sum::<f64>() / 2.0;
    assert!((report.psnr.by_frame().last().unwrap().mean().unwrap() - last).abs() < 1e-12);
    assert_eq!(report.psnr.count(), 36);
}

#[test]
fn a_report_tells_its_protocol_and_survives_json() {
    let report = scored(0..4).finish().unwrap();
    let told = report.to_string();
    for part in [
        "cola-world: clamped to [0, 1], rounded to 256 levels; the first frame left out",
        "PSNR: RGB, mean over frames, 100 dB where frames are equal",
        "SSIM: RGB, Gaussian 11/1.5, valid, population covariance",
        "LPIPS: v0.1, alex, mean of each map, torchvision's weights",
        "FVD: 400 logits of I3D, shipped Kinetics-400 weights, batch-norm epsilon 1e-3",
        "short side to 224 and centre crop, unbiased covariance",
        "n = 4",
    ] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    let stored = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&stored).unwrap();
    assert_eq!((&read.protocol, read.clips), (&report.protocol, 4));
    for (read, own) in numbers(&read).iter().zip(numbers(&report)) {
        assert!((read - own).abs() <= 1e-12 * own.abs(), "{read} {own}");
    }
}

#[test]
fn presets_differ_from_each_other_and_survive_json() {
    let presets: Vec<Protocol> = Protocol::NAMES.iter().map(|name| Protocol::preset(name).unwrap()).collect();
    for (at, preset) in presets.iter().enumerate() {
        preset.check().unwrap();
        let stored = serde_json::to_string(preset).unwrap();
        assert_eq!(serde_json::from_str::<Protocol>(&stored).unwrap(), *preset);
        for other in &presets[..at] {
            let same_name = Protocol { name: preset.name.clone(), ..other.clone() };
            assert_ne!(*preset, same_name, "{} and {}", preset.name, other.name);
        }
    }
    assert!(matches!(Protocol::preset("fvd"), Err(Error::Setting { field: "protocol", .. })));
    assert!(serde_json::from_str::<Protocol>(r#"{"name": "x", "speed": 1}"#).is_err());
}

#[test]
fn presets_are_the_published_choices() {
    use cola_metrics::{Border, Covariance::*, Fit::*, Network::*, Planes::*, PsnrMode::*, Rounding::*};
    // Name; FVD: rounding, fit, covariance, epsilon; frames: rounding, PSNR, planes, pooled SSIM; LPIPS: network, spatial.
    let expected = [
        ("cola-world", (Nearest, Crop, Unbiased, 1e-3), (Nearest, Cap100, Rgb, false), (Alex, false)),
        ("stylegan-v", (Keep, Stretch, Biased, 1e-3), (Nearest, Cap100, Rgb, false), (Alex, false)),
        ("common-script", (Keep, Crop, Unbiased, 1e-3), (Keep, Cap100, Rgb, false), (Alex, true)),
        ("videogpt", (Truncate, Crop, Unbiased, 1e-5), (Nearest, Cap100, Rgb, false), (Alex, false)),
        ("adaworld", (Truncate, Stretch, Unbiased, 1e-5), (Keep, Eps1e8, Rgb, true), (Vgg, false)),
        ("content-debiased", (Nearest, Stretch, Biased, 1e-5), (Nearest, Cap100, Rgb, false), (Alex, false)),
        ("irasim", (Keep, Stretch, Biased, 1e-3), (Nearest, Cap100, Luma, false), (Alex, false)),
    ];
    assert_eq!(expected.map(|(name, ..)| name), Protocol::NAMES);
    for (name, fvd, frames, lpips) in expected {
        let found = Protocol::preset(name).unwrap();
        assert_eq!(
            (found.fvd.rounding, found.fvd.fit, found.fvd.covariance, found.fvd.i3d.bn_eps),
            fvd,
            "{name}"
        );
        assert_eq!(
            (found.rounding, found.psnr.mode, found.ssim.planes, found.ssim.downsample),
            frames,
            "{name}"
        );
        assert_eq!((found.lpips.network, found.lpips.spatial), lpips, "{name}");
        assert_eq!((found.psnr.planes, found.ssim.border), (frames.2, Border::Valid), "{name}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let mut scores = scored(0..4);
    let other = Scores::new(Protocol::preset("adaworld").unwrap());
    assert!(matches!(scores.merge(other), Err(Error::Protocols { .. })));
    for incomplete in [ClipScores { lpips: None, ..clip(4) }, ClipScores { logits: None, ..clip(4) }] {
        assert!(matches!(scores.add(4, &incomplete), Err(Error::Layout { .. })));
        let mut alone = Scores::new(Protocol::default());
        alone.add(4, &incomplete).unwrap();
        assert!(matches!(scores.clone().merge(alone), Err(Error::Layout { .. })));
    }
    assert_eq!(scores.clips(), 4);
    assert!(matches!(Scores::new(Protocol::default()).finish(), Err(Error::TooFew { found: 0, .. })));
    assert_eq!(scored(0..1).finish().unwrap().fvd, None, "one clip has no covariance");
    let mut wrong = [clip(4), clip(4), clip(4)];
    wrong[0].ssim[1] = f64::NAN;
    wrong[1].psnr.pop();
    wrong[2].lpips = Some(Vec::new());
    assert!(
        matches!(scores.add(4, &wrong[0]), Err(Error::NotFinite { what: "SSIM", index, .. }) if index == [1])
    );
    assert!(matches!(scores.add(4, &wrong[1]), Err(Error::Layout { .. })));
    assert!(matches!(scores.add(4, &wrong[2]), Err(Error::Layout { .. })));
    let mut poisoned = clip(4);
    poisoned.logits = Some([vec![f32::NAN; 8], vec![0.0; 8]]);
    assert!(matches!(scores.add(4, &poisoned), Err(Error::NotFinite { .. })));
    assert_eq!(
        numbers(&scores.finish().unwrap()),
        numbers(&scored(0..4).finish().unwrap()),
        "nothing was added"
    );
}

fn video(level: f32, frames: usize) -> Video {
    Video::from_f32([frames, 3, 32, 40], vec![level; frames * 3 * 32 * 40]).unwrap()
}

#[test]
fn given_frames_count_for_nothing_and_rounding_is_as_asked() {
    let protocol = Protocol { given: 2, ..Protocol::default() };
    let evaluator = Evaluator::new(protocol.clone(), None, None).unwrap();
    let scores = evaluator.clip(&video(0.5, 5), &video(0.5009, 5)).unwrap();
    assert_eq!(scores.psnr, [100.0; 3], "both round to level 128");
    let exact = Protocol { rounding: cola_metrics::Rounding::Keep, ..protocol };
    let exact = Evaluator::new(exact, None, None).unwrap();
    let scores = exact.clip(&video(0.5, 5), &video(0.5009, 5)).unwrap();
    assert!((scores.psnr[0] - 60.915).abs() < 0.001, "{:?}", scores.psnr);
    let error = evaluator.clip(&video(0.5, 2), &video(0.5, 2)).unwrap_err();
    assert!(matches!(error, Error::TooSmall { what: "frames", found: 2, least: 3, .. }), "{error}");
    let error = evaluator.clip(&video(0.5, 5), &video(0.5, 4)).unwrap_err();
    assert!(matches!(error, Error::Shapes { .. }), "{error}");
}

#[test]
fn networks_of_another_protocol_are_refused() {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let config = LpipsConfig { network: Network::Squeeze, ..LpipsConfig::default() };
    let squeeze = || Lpips::new(&config, params.frozen()).unwrap();
    assert!(Evaluator::new(Protocol::default(), Some(squeeze()), None).is_err());
    let protocol = Protocol { lpips: config, ..Protocol::default() };
    let evaluator = Evaluator::new(protocol, Some(squeeze()), None).unwrap();
    let scores = evaluator.clip(&video(0.2, 3), &video(0.7, 3)).unwrap();
    assert_eq!(scores.lpips.map(|values| values.len()), Some(2));
}

#[test]
fn videos_refuse_other_scales_nan_and_wrong_sizes() {
    let one = |values: Vec<f32>| Video::from_f32([1, 1, 1, values.len()], values);
    assert!(matches!(one(vec![0.0, f32::NAN]), Err(Error::NotFinite { index, .. }) if index == [0, 0, 0, 1]));
    assert!(matches!(one(vec![0.0, 255.0]), Err(Error::Scale { mend, .. }) if mend.contains("255")));
    assert!(matches!(one(vec![-1.0, 1.0]), Err(Error::Scale { mend, .. }) if mend.contains("(v + 1) / 2")));
    assert_eq!(one(vec![-0.1, 1.2]).unwrap(), one(vec![0.0, 1.0]).unwrap(), "overshoot is clamped");
    assert!(matches!(Video::from_u8([1, 3, 2, 2], vec![0; 11]), Err(Error::Layout { .. })));
    assert!(matches!(Video::from_u8([0, 3, 2, 2], vec![]), Err(Error::Layout { .. })));
    assert!(matches!(Video::from_u8([usize::MAX, 2, 2, 2], vec![0; 8]), Err(Error::Layout { .. })));
    let rgb: Vec<u8> = (0..2 * 3 * 4 * 3).collect();
    let video = Video::from_rgb8(2, 3, 4, &rgb).unwrap();
    assert_eq!(video.to_rgb8().unwrap(), rgb);
    assert_eq!(Video::from_tensor(&video.tensor(&Device::Cpu).unwrap()).unwrap().rounded(), video);
    assert!(video.narrow(1, 1).is_err() && video.narrow(0, 3).is_err());
}

#[test]
fn an_equal_frame_makes_an_uncapped_mean_infinite_and_no_mean_nan() {
    let mut protocol = Protocol::default();
    protocol.psnr.mode = PsnrMode::Inf;
    let evaluator = Evaluator::new(protocol.clone(), None, None).unwrap();
    let mut scores = Scores::new(protocol);
    scores.add(0, &evaluator.clip(&video(0.5, 3), &video(0.5, 3)).unwrap()).unwrap();
    scores.add(1, &evaluator.clip(&video(0.5, 3), &video(0.6, 3)).unwrap()).unwrap();
    let report = scores.finish().unwrap();
    assert_eq!(report.psnr.mean(), Some(f64::INFINITY));
    assert_eq!(report.psnr.by_clip().std_error(), None);
    assert!(report.psnr_pooled.is_finite());
}
