//! The first steps of the main job, stored: whoever changes a bit of the training finds it out here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use cola_coevolve::{ExperimentConfig, Run};
use cola_data::{ClipSource, EpisodeClips, OpenOptions, Run as FrameRun};

use crate::runs::Watcher;

/// Phases of 50 steps in all; the first 40 episodes are enough for them.
const PLAN: &str = "plan=LAM20+WARM15+E2E15";
const EPISODES: usize = 40;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data").join(name)
}

fn clips(config: &ExperimentConfig) -> Arc<dyn ClipSource> {
    let dataset = cola_data::open(&shipped("robodesk_lerobot"), &OpenOptions::default()).expect("the clips");
    let mut episodes = dataset.split("train").expect("a split");
    episodes.truncate(EPISODES);
    let runs = FrameRun::whole(&*dataset, &episodes).expect("episodes");
    let clips = EpisodeClips::load(&*dataset, &runs, &config.clip_options(), &mut |_, _| {}).expect("frames");
    Arc::new(clips)
}

/// The kernels that this processor runs: wide ones add up in another order, so their bits are their own.
fn kernels() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "x86_64, AVX-512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "x86_64, AVX2 and FMA";
        }
    }
    std::env::consts::ARCH
}

/// Equal bits where the stored curve was made with the same kernels; elsewhere the same curve up to their rounding.
#[test]
fn golden_curve_tiny() {
    let config = ExperimentConfig::tiny().with_all(&[PLAN, "remedies.hold_lam=5"]).expect("values");
    let clips = clips(&config);
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    run.params().load_generator(&shipped("generator_tiny")).expect("the shipped generator");
    let root = tempfile::tempdir().expect("a folder");
    let mut watcher = Watcher::default();
    run.train(&clips, None, root.path(), &mut [&mut watcher]).expect("training");
    let found: Vec<String> =
        watcher.losses.iter().map(|&loss| format!("{:08x}", (loss as f32).to_bits())).collect();
    assert_eq!(found.len(), 50);

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promises/curve_tiny.json");
    let mut stored: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(&std::fs::read(&file).expect("the stored curves")).expect("curves");
    if std::env::var_os("COLA_STORE_CURVE").is_some() {
        stored.insert(kernels().into(), found);
        std::fs::write(&file, serde_json::to_vec_pretty(&stored).expect("JSON")).expect("the stored curves");
        return;
    }
    match stored.get(kernels()) {
        Some(expected) => {
            let first = found.iter().zip(expected).position(|(found, expected)| found != expected);
            assert!(
                first.is_none() && expected.len() == found.len(),
                "the curve leaves the stored one at step {first:?}: {:?}; if the change is meant, store it anew with \
                 COLA_STORE_CURVE=1",
                first.map(|step| (&found[step], &expected[step]))
            );
        }
        None => {
            let near = stored.values().next().expect("a curve");
            println!("no curve is stored for {}: compared up to rounding", kernels());
            let number = |bits: &String| f32::from_bits(u32::from_str_radix(bits, 16).expect("a number"));
            for (step, (found, expected)) in found.iter().zip(near).enumerate() {
                let (found, expected) = (number(found), number(expected));
                assert!((found / expected - 1.0).abs() < 0.02, "step {step}: {found} and {expected}");
            }
        }
    }
}
