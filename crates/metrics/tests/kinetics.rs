//! Known answers with the trained network, and what storing its weights in f16 costs.
#![cfg(feature = "kinetics")]

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cola_metrics::{Covariance, Features, Fit, I3d, I3dConfig, Video, frechet_from_features};

/// Largest difference of a logit between the compiled-in weights and the f32 weights. Measured on the clips of the
/// reference file, where logits reach 16: 0.0172, root of the mean square 0.0034.
const F16: f64 = 0.02;

/// What is compiled in, as a file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/i3d_kinetics400_f16.safetensors");

fn compiled() -> I3d {
    I3d::kinetics400(&I3dConfig::default(), &Device::Cpu).unwrap()
}

/// The squared distance of the logits of a black and of a white clip.
fn black_to_white(i3d: &I3d, frames: usize) -> f64 {
    let clip = |level| Video::from_u8([frames, 3, 8, 8], vec![level; frames * 3 * 64]).unwrap();
    let features = i3d.features([clip(0), clip(255)], Fit::Crop).unwrap();
    features[0].iter().zip(&features[1]).map(|(black, white)| (black - white).powi(2)).sum()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.01, "found {found}, expected {expected}");
}

#[test]
fn black_and_white_are_as_far_apart_as_f16_convolutions_put_them() {
    // An independent PyTorch network over the same file: 152.97613. With f32 weights: 152.9020.
    close(black_to_white(&compiled(), 16), 152.9761);
}

#[test]
fn black_and_white_are_as_far_apart_as_f16_weights_put_them_when_batch_norm_is_rounded_as_well() {
    let tensors = candle_core::safetensors::load(FILE, &Device::Cpu).unwrap();
    let tensors =
        tensors.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(DType::F16).unwrap())).collect();
    let i3d =
        I3d::new(&I3dConfig::default(), VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap();
    close(black_to_white(&i3d, 16), 152.8523);
}

#[test]
fn black_and_white_are_as_far_apart_as_in_the_original_with_f32_weights() {
    let Some(file) = std::env::var_os("COLA_I3D_F32") else {
        println!("skipped: COLA_I3D_F32 names no f32 weights");
        return;
    };
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let i3d = I3d::open(&I3dConfig::default(), &file, &Device::Cpu).unwrap();
    for (frames, distance) in [(10, 569.7711), (11, 486.7535), (16, 152.9020), (30, 151.39244)] {
        close(black_to_white(&i3d, frames), distance);
    }
    // The epsilon of PyTorch's default.
    let i3d = I3d::open(&I3dConfig { bn_eps: 1e-5 }, &file, &Device::Cpu).unwrap();
    close(black_to_white(&i3d, 30), 151.75946);
}

#[test]
fn f16_weights_move_no_logit_of_the_reference_clips_by_more_than_stated() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/data/metrics/i3d.safetensors");
    let golden = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let first = |name: &str| golden[name].get(0).unwrap();
    let cases = [
        (golden["clip16"].clone(), golden["kinetics.clip16.logits"].clone()),
        (golden["wide9"].clone(), golden["kinetics.wide9.crop.logits"].clone()),
        (first("set_a"), first("kinetics.logits_a")),
        (first("set_b"), first("kinetics.logits_b")),
    ];
    let i3d = compiled();
    for (clip, logits) in cases {
        let found = i3d.feature(&Video::from_tensor(&clip).unwrap(), Fit::Crop).unwrap();
        let expected: Vec<f64> = logits.to_vec1().unwrap();
        assert_eq!(found.len(), expected.len());
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= F16, "{place}: found {found}, expected {expected}");
        }
    }
}

#[test]
fn f16_weights_move_the_reference_distance_by_a_few_ten_thousandths() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/data/metrics/i3d.safetensors");
    let golden = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let i3d = compiled();
    let [a, b] = ["set_a", "set_b"].map(|set| {
        let clips = (0..golden[set].dim(0).unwrap()).map(|clip| golden[set].get(clip).unwrap());
        let clips: Vec<Video> = clips.map(|clip| Video::from_tensor(&clip).unwrap()).collect();
        let features = i3d.features(clips, Fit::Crop).unwrap();
        Features::new(I3d::WIDTH, features.concat()).unwrap()
    });
    for (rule, name) in
        [(Covariance::Unbiased, "kinetics.fvd"), (Covariance::Biased, "kinetics.fvd_biased_cov")]
    {
        let found = frechet_from_features(&a, &b, rule).unwrap().distance;
        let expected = golden[name].to_vec1::<f64>().unwrap()[0];
        // Measured: 1.3e-4 and 1.4e-4 above.
        assert!((found / expected - 1.0).abs() < 3e-4, "{name}: found {found}, expected {expected}");
    }
}

#[test]
fn a_file_of_the_same_weights_is_the_same_network() {
    let opened = I3d::open(&I3dConfig::default(), FILE, &Device::Cpu).unwrap();
    let clip = Video::from_u8([9, 3, 5, 4], (0..9 * 60).map(|at| (at * 37 % 256) as u8).collect()).unwrap();
    let features = [&opened, &compiled()].map(|i3d| i3d.feature(&clip, Fit::Stretch).unwrap());
    assert_eq!(features[0], features[1]);
}

#[test]
fn clips_in_a_batch_have_the_features_they_have_alone_on_any_number_of_threads() {
    let i3d = compiled();
    let clips = [3, 7].map(|step| {
        let levels = (0..9 * 3 * 20 * 30).map(|at| (at * step % 256) as u8).collect();
        Video::from_u8([9, 3, 20, 30], levels).unwrap()
    });
    let input = clips.each_ref().map(|clip| Fit::Crop.input(clip).unwrap());
    let batch = i3d.logits(&Tensor::stack(&input, 0).unwrap()).unwrap();
    let batch = batch.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| i3d.features(&clips, Fit::Crop).unwrap()), batch);
    assert_ne!(batch[0], batch[1]);
}
