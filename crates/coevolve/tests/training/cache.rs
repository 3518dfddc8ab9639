//! The video VAE as the codec of a run, and the cache of its latents: the same bits with and without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use cola_coevolve::{
    Error, ExperimentConfig, HeldOut, LatentsConfig, Observer, Phase, Record, Run, checkpoint, evaluate,
};
use cola_data::{CacheReport, CacheState, Loader};
use cola_nn::Params;
use cola_video_vae::{Pretrained, VideoVae, VideoVaeConfig};

use crate::support::clips;

/// Frames of a clip: two latents of the VAE.
const FRAMES: usize = 5;

/// Weights that no training has seen, in the published layout.
fn vae(folder: &Path, seed: u64) -> PathBuf {
    let config = VideoVaeConfig::tiny();
    let params = Params::seeded(seed, DType::F32, &Device::Cpu);
    VideoVae::new(&config, params.frozen()).expect("a VAE");
    let path = folder.join(format!("vae-{seed}"));
    Pretrained::new(config, params).save_pretrained(&path).expect("a folder");
    path
}

fn config(plan: &str, vae: &Path) -> ExperimentConfig {
    let mut config = crate::support::config(plan);
    (config.data.frames, config.data.crops, config.data.batch) = (FRAMES, 1, 4);
    (config.lam.max_frames, config.flow.given_max) = (FRAMES.max(config.lam.max_frames), 1);
    (config.dit.in_channels, config.dit.action.frames_per_latent) = (4, 4);
    config.latents.vae = vae.to_path_buf();
    config.check().expect("a configuration that holds together");
    config
}

/// What a run told.
#[derive(Default)]
struct Told {
    records: Vec<Record>,
    caches: Vec<(String, CacheReport)>,
}

impl Observer for Told {
    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        self.records.push(record.clone());
        Ok(())
    }

    fn on_cache(&mut self, phase: &Phase, report: &CacheReport) -> Result<(), Error> {
        self.caches.push((phase.to_string(), report.clone()));
        Ok(())
    }
}

/// Every file of the newest checkpoint but the configuration, which names the cache, and what was told.
fn train(config: &ExperimentConfig, folder: &Path) -> (BTreeMap<String, Vec<u8>>, Told) {
    let clips = clips(FRAMES);
    let held_out = HeldOut::new(&*clips, 8, config, &Device::Cpu).expect("held-out clips");
    let mut run = Run::new(config, &Device::Cpu).expect("a run");
    run.fit_codec(&clips).expect("nothing to do");
    let mut told = Told::default();
    run.train(&clips, Some(&held_out), folder, &mut [&mut told]).expect("training");
    (crate::support::decided(folder), told)
}

#[test]
fn a_run_has_the_same_bits_with_an_empty_a_full_a_damaged_and_without_a_cache() {
    let root = tempfile::tempdir().expect("a folder");
    // 64 clips, 4 a batch: the second epoch begins at step 16.
    let mut config = config("LAM2+WARM12+E2E8+WM2", &vae(root.path(), 1));
    let (expected, plain) = train(&config, &root.path().join("none"));
    assert!(plain.caches.is_empty() && plain.records.iter().any(|record| record.sensitivity.is_some()));

    let folder = root.path().join("latents");
    config.latents.cache = folder.clone();
    let (found, first) = train(&config, &root.path().join("empty"));
    assert_eq!((&found, &first.records), (&expected, &plain.records));
    let phases: Vec<_> = first.caches.iter().map(|(phase, _)| phase.as_str()).collect();
    assert_eq!(phases, ["LAM2", "WARM12", "E2E8", "WM2"]);
    let [lam, warm, joint, _] = &first.caches[..] else { panic!("{phases:?}") };
    assert_eq!((lam.1.hits, lam.1.misses), (0, 0), "a LAM phase encodes nothing");
    // Uncropped clips of the curve are those of the batches: whoever comes first encodes, and each view is encoded once.
    assert!(warm.1.misses >= 48, "{:?}", first.caches);
    let misses: u64 = first.caches.iter().map(|(_, report)| report.misses).sum();
    assert_eq!(first.caches.last().map(|(_, report)| report.entries as u64), Some(misses));
    assert!(warm.1.hits > 0 && joint.1.hits > joint.1.misses, "{:?}", first.caches);
    assert_eq!((joint.1.state, joint.1.damaged), (CacheState::Filling, 0));

    let (found, second) = train(&config, &root.path().join("full"));
    assert_eq!((&found, &second.records), (&expected, &plain.records));
    assert!(second.caches.iter().all(|(_, report)| report.misses == 0), "{:?}", second.caches);

    let shard = folder.join("cache-00000000.safetensors");
    let mut bytes = std::fs::read(&shard).expect("a file of the cache");
    let last = bytes.len() - 1;
    bytes[last] ^= 0x40;
    std::fs::write(&shard, bytes).expect("a damaged file");
    let (found, third) = train(&config, &root.path().join("damaged"));
    assert_eq!((&found, &third.records), (&expected, &plain.records));
    let damaged: u64 = third.caches.iter().map(|(_, report)| report.damaged).sum();
    assert_eq!(damaged, 1, "{:?}", third.caches);

    config.latents.size = 1e-6;
    config.latents.cache = root.path().join("small");
    let (found, small) = train(&config, &root.path().join("bounded"));
    assert_eq!((&found, &small.records), (&expected, &plain.records));
    assert_eq!(small.caches.last().expect("a phase").1.state, CacheState::Full);
}

#[test]
fn latents_are_a_pure_function_of_the_clip_alone() -> candle_core::Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let config = config("WARM2", &vae(root.path(), 1));
    let run = Run::new(&config, &Device::Cpu).expect("a run");
    let system = run.system().expect("modules");
    let loader = Loader::new(clips(FRAMES), config.loader(), 3).expect("a loader").keyed();
    let batch = loader.batch(0, true, &Device::Cpu).expect("a batch");
    let together = system.latents(&batch)?;
    assert_eq!(together.dims(), [4, 4, 2, 2, 2]);
    for clip in 0..4 {
        let alone = system.world.codec.encode(&batch.world_view.narrow(0, clip, 1)?)?.squeeze(0)?;
        let bits = |tensor: &candle_core::Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        assert_eq!(bits(&together.get(clip)?)?, bits(&alone)?, "clip {clip}");
    }
    Ok(())
}

#[test]
fn resuming_with_other_weights_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a folder");
    let (own, other) = (vae(root.path(), 1), vae(root.path(), 2));
    let folder = root.path().join("run");
    train(&config("WARM4", &own), &folder);
    let newest = checkpoint::list(&folder).pop().expect("a checkpoint");
    let name = std::fs::read_to_string(newest.join("vae.version")).expect("the VAE's name");
    assert!(name.starts_with("vae-"), "{name}");
    Run::resume(&folder, &Device::Cpu).expect("the same weights");

    // The folder that the configuration names now holds another VAE.
    let aside = root.path().join("aside");
    std::fs::rename(&own, &aside).expect("a rename");
    std::fs::rename(&other, &own).expect("a rename");
    let error = Run::resume(&folder, &Device::Cpu).map(|_| ()).expect_err("other weights");
    assert!(matches!(&error, Error::State { field, .. } if field == "version"), "{error}");
    assert!(error.to_string().contains("latents.vae") && error.to_string().contains(name.trim()), "{error}");
    // The same bits elsewhere are the same VAE.
    std::fs::remove_dir_all(&own).expect("a folder");
    std::fs::rename(&aside, &own).expect("a rename");
    Run::resume(&folder, &Device::Cpu).expect("the same weights again");
    crate::support::without_checksums(&newest);
    std::fs::remove_file(newest.join("vae.version")).expect("a file");
    let error = Run::resume(&folder, &Device::Cpu).map(|_| ()).expect_err("no name");
    assert!(error.to_string().contains("without a VAE"), "{error}");
}

#[test]
fn a_vae_that_was_moved_is_named_anew_and_no_other_one_is_taken_for_it() {
    let root = tempfile::tempdir().expect("a folder");
    let (own, other) = (vae(root.path(), 1), vae(root.path(), 2));
    let folder = root.path().join("run");
    let config = config("WARM4", &own);
    train(&config, &folder);
    let moved = root.path().join("moved");
    std::fs::rename(&own, &moved).expect("a rename");
    let resume = |vae: &Path| {
        let latents = LatentsConfig { vae: vae.to_path_buf(), ..config.latents.clone() };
        Run::resume_with(&folder, &ExperimentConfig { latents, ..config.clone() }, &Device::Cpu)
            .map_err(Box::new)
    };
    assert_eq!(resume(&moved).expect("the same weights").config().latents.vae, moved);
    let error = resume(&other).map(|_| ()).expect_err("other weights");
    assert!(matches!(&*error, Error::State { field, .. } if field == "version"), "{error}");
    // From none to one, or back, is another run.
    let plain = ExperimentConfig { latents: LatentsConfig::default(), ..config.clone() };
    let error = config.check_resume(&plain, 0).expect_err("a VAE instead of none");
    assert!(matches!(&error, Error::Fixed { .. }) && error.to_string().contains("latents.vae"), "{error}");
    resume(Path::new("no/such/folder")).map(|_| ()).expect_err("nothing there");
}

#[test]
fn a_vae_that_is_missing_or_does_not_fit_is_refused_with_the_field() {
    let root = tempfile::tempdir().expect("a folder");
    let config = config("WARM2", &vae(root.path(), 1));
    let refused = |change: &dyn Fn(&mut ExperimentConfig)| {
        let mut config = config.clone();
        change(&mut config);
        Run::new(&config, &Device::Cpu).map(|_| ()).expect_err("it cannot work").to_string()
    };
    for (message, field) in [
        (refused(&|config| config.latents.vae = root.path().join("nothing")), "latents.vae"),
        (refused(&|config| config.dit.in_channels = 48), "dit.in_channels is 48"),
        (refused(&|config| config.data.world_size = 20), "data.world_size is 20"),
        (refused(&|config| config.data.frames = 4), "data.frames"),
        (refused(&|config| config.evaluation.horizon = 3), "evaluation.horizon is 3"),
        (refused(&|config| config.flow.given_max = 2), "flow.given_max 2"),
        (refused(&|config| config.latents.size = f64::NAN), "latents.size"),
        (refused(&|config| config.latents.vae = PathBuf::new()), "dit.in_channels is 4; the codec"),
        (
            refused(&|config| {
                (config.data.crops, config.data.crop.area, config.latents.cache) =
                    (0, [0.8, 1.0], "cache".into())
            }),
            "data.crops",
        ),
    ] {
        assert!(message.contains(field), "{field}: {message}");
    }
    let mut blocks = crate::support::config("WARM2");
    blocks.latents.cache = root.path().join("cache");
    let error = blocks.check().expect_err("nothing to keep");
    assert!(error.to_string().contains("latents.cache is set and latents.vae is not"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_opened_is_told_before_the_first_step() {
    let root = tempfile::tempdir().expect("a folder");
    let mut config = config("WARM2", &vae(root.path(), 1));
    config.latents.cache = root.path().to_path_buf();
    let mut run = Run::new(&config, &Device::Cpu).expect("a run");
    let error = run.train(&clips(FRAMES), None, &root.path().join("out"), &mut []).expect_err("not a cache");
    assert!(matches!(&error, Error::Data(cola_data::Error::Setting { .. })), "{error}");
    assert_eq!(run.step(), 0);
}

#[test]
fn a_configuration_without_latents_has_blocks_of_pixels_and_fresh_crops() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let text = crate::support::config("LAM4").to_toml().expect("text");
    let section = "[latents]\nvae = \"\"\ncache = \"\"\nsize = 20.0\n";
    assert!(text.contains(section) && text.contains("crops = 0\n"), "{text}");
    std::fs::write(&file, text.replace(section, "").replace("crops = 0\n", "")).expect("a file");
    let found = ExperimentConfig::read(&file).expect("a configuration");
    assert_eq!(found, crate::support::config("LAM4"));
    let lines = found.with("data.crops=4").expect("four").deviations().expect("text");
    assert!(lines.iter().any(|line| line.contains("each clip has 4 crops")), "{lines:?}");
}

#[test]
fn a_run_with_a_vae_is_evaluated_in_whole_latents() {
    let root = tempfile::tempdir().expect("a folder");
    let config = config("WARM2", &vae(root.path(), 1));
    let run = Run::new(&config, &Device::Cpu).expect("a run");
    let system = run.system().expect("modules");
    let (short, long) = (clips(FRAMES), clips(config.evaluation.horizon + 1));
    let (found, pictures) =
        evaluate(&system, &config, 1.0, (&*short, &*long), &Device::Cpu, &mut |_, _| {}).expect("figures");
    assert!(found.one_step.true_actions.is_finite() && found.sensitivity.own.is_finite());
    assert_eq!(pictures.rollout.dims()[1..], [config.data.frames, 3, 16, 16]);
}
