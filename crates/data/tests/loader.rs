//! Batches: repeatable, complete epochs, one window a clip, both views of it.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use cola_data::{
    Clip, ClipSource, Crop, CropConfig, DrawnConfig, DrawnWorld, Error, Frames, Loader, LoaderConfig,
    collate, resize,
};

const CPU: &Device = &Device::Cpu;

fn config(batch: usize, lam_size: usize, world_size: usize) -> LoaderConfig {
    LoaderConfig { batch, lam_size, world_size, crop: CropConfig::paper(), crops: 0, budget: 0 }
}

fn drawn(clips: usize) -> Arc<DrawnWorld> {
    Arc::new(DrawnWorld::new(DrawnConfig { clips, ..DrawnConfig::tiny() }, 1).unwrap())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// One clip of three equal pictures, without actions: any difference within a batch comes from the crops.
struct Still;

impl ClipSource for Still {
    fn len(&self) -> usize {
        1
    }

    fn frames_per_clip(&self) -> usize {
        3
    }

    fn clip(&self, _: usize) -> Result<Clip, Error> {
        let picture = (0..64 * 64).flat_map(|i| [2 * (i % 64) as u8, 2 * (i / 64) as u8, 128]);
        let rgb = (0..3).flat_map(|_| picture.clone()).collect();
        let frames = Frames { count: 3, height: 64, width: 64, rgb };
        Ok(Clip { frames, actions: Vec::new(), action_dim: 0, episode: 0, start: 0 })
    }
}

#[test]
fn a_batch_is_a_pure_function_of_seed_step_and_augment() {
    let loader = |seed| Loader::new(drawn(10), config(4, 14, 16), seed).unwrap();
    let busy = loader(5);
    busy.batch(0, true, CPU).unwrap();
    busy.batch(9, false, CPU).unwrap();
    let (a, b) = (busy.batch(3, true, CPU).unwrap(), loader(5).batch(3, true, CPU).unwrap());
    assert_eq!((a.samples, a.clips), (b.samples, b.clips.clone()));
    assert_eq!(values(&a.lam_view), values(&b.lam_view));
    assert_eq!(values(&a.world_view), values(&b.world_view));
    assert_ne!(b.clips, loader(6).batch(3, true, CPU).unwrap().clips);
    let whole = loader(5).batch(3, false, CPU).unwrap();
    assert_eq!(whole.clips, b.clips);
    assert_ne!(values(&whole.lam_view), values(&b.lam_view));
}

#[test]
fn each_epoch_takes_every_clip_once_in_another_order() {
    let loader = Loader::new(drawn(10), config(4, 8, 8), 2).unwrap();
    let batches: Vec<_> = (0..5).map(|step| loader.batch(step, false, CPU).unwrap()).collect();
    let samples: Vec<u64> = batches.iter().flat_map(|batch| batch.samples.clone()).collect();
    assert_eq!(samples, Vec::from_iter(0..20));
    let clips: Vec<usize> = batches.iter().flat_map(|batch| batch.clips.clone()).collect();
    let (first, second) = clips.split_at(10);
    assert_ne!(first, second);
    for epoch in [first, second] {
        let mut epoch = epoch.to_vec();
        epoch.sort();
        assert_eq!(epoch, Vec::from_iter(0..10));
    }
}

#[test]
fn the_batch_size_does_not_change_what_a_sample_is() {
    let batch =
        |size, step| Loader::new(drawn(10), config(size, 12, 12), 2).unwrap().batch(step, true, CPU).unwrap();
    let (large, small) = (batch(6, 1), batch(2, 4));
    assert_eq!(large.samples[2..4], small.samples);
    assert_eq!(values(&large.lam_view.narrow(0, 2, 2).unwrap()), values(&small.lam_view));
}

#[test]
fn frames_and_views_of_a_sample_share_one_window() {
    let loader = Loader::new(Arc::new(Still), config(4, 32, 16), 2).unwrap();
    let batch = loader.batch(0, true, CPU).unwrap();
    assert_eq!(batch.lam_view.dims(), [4, 3, 3, 32, 32]);
    assert_eq!(batch.world_view.dims(), [4, 3, 3, 16, 16]);
    assert!(batch.actions.is_none());
    for sample in 0..4 {
        let frames: Vec<_> =
            (0..3).map(|t| values(&batch.lam_view.get(sample).unwrap().get(t).unwrap())).collect();
        assert!(frames[0] == frames[1] && frames[1] == frames[2]);
        // A linear ramp survives halving, so the mean of each 2 x 2 of the large view is a pixel of the small one.
        let halved = batch.lam_view.get(sample).unwrap().avg_pool2d(2).unwrap();
        let difference = (halved - batch.world_view.get(sample).unwrap()).unwrap().abs().unwrap();
        assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 0.02);
    }
    let (a, b) = (batch.lam_view.get(0).unwrap(), batch.lam_view.get(1).unwrap());
    assert_ne!(values(&a), values(&b), "each sample has its own window");
}

#[test]
fn equal_sizes_share_the_tensor() {
    let batch = Loader::new(drawn(10), config(4, 8, 8), 2).unwrap().batch(0, true, CPU).unwrap();
    assert_eq!(batch.lam_view.id(), batch.world_view.id());
}

#[test]
fn collated_clips_are_whole_frames_in_order() {
    let world = drawn(3);
    let clips: Vec<Clip> = (0..3).map(|index| world.clip(index).unwrap()).collect();
    let batch = collate(&clips, 16, 8, CPU).unwrap();
    assert_eq!((batch.clips, batch.samples), (vec![0, 1, 2], vec![0, 1, 2]));
    assert_eq!(batch.actions.unwrap().dims(), [3, 3, 2]);
    // Picture 2 of clip 1: channels first, bytes over 255.
    let planes = values(&batch.lam_view.get(1).unwrap().get(2).unwrap());
    let picture = clips[1].frames.frame(2);
    for (pixel, rgb) in picture.chunks(3).enumerate() {
        for channel in 0..3 {
            assert_eq!(planes[channel * 256 + pixel], f32::from(rgb[channel]) / 255.0);
        }
    }
    let small = resize(&clips[1].frames, &Crop::full(16, 16), 8, 8).unwrap();
    let found = values(&batch.world_view.get(1).unwrap().get(0).unwrap());
    assert_eq!(found[0], f32::from(small.rgb[0]) / 255.0);
}

#[test]
fn unequal_clips_and_empty_batches_are_refused() {
    let clips = [drawn(1).clip(0).unwrap(), Still.clip(0).unwrap()];
    assert!(matches!(collate(&clips, 8, 8, CPU), Err(Error::Setting { .. })));
    assert!(collate(&[], 8, 8, CPU).is_err());
    assert!(Loader::new(drawn(0), config(4, 8, 8), 0).is_err());
    for wrong in [config(0, 8, 8), config(4, 0, 8), config(4, 8, 0)] {
        assert!(Loader::new(drawn(10), wrong, 0).is_err());
    }
}

#[test]
fn a_misspelt_setting_is_refused() {
    let text = r#"{ "batch": 4, "lam_size": 8, "world_size": 8, "crop": { "area": [0.8, 1.0], "aspekt": [1.0, 1.0] } }"#;
    assert!(serde_json::from_str::<LoaderConfig>(text).unwrap_err().to_string().contains("aspekt"));
}

#[test]
fn with_crops_each_clip_has_so_many_windows_and_samples_choose_among_them() {
    let crops = |crops| LoaderConfig { crops, ..config(1, 24, 24) };
    let views = |crop_count, seed| {
        let loader = Loader::new(Arc::new(Still), crops(crop_count), seed).unwrap();
        (0..60).map(|step| values(&loader.batch(step, true, CPU).unwrap().world_view)).collect::<Vec<_>>()
    };
    let different = |views: &[Vec<f32>]| {
        let mut seen: Vec<&Vec<f32>> = Vec::new();
        views.iter().for_each(|view| {
            if !seen.contains(&view) {
                seen.push(view);
            }
        });
        seen.len()
    };
    assert_eq!(different(&views(0, 5)), 60, "a fresh window for every sample");
    for count in [1, 3] {
        assert_eq!(different(&views(count, 5)), count);
    }
    assert_eq!(views(3, 5), views(3, 5));
    let (ours, theirs) = (views(3, 5), views(3, 6));
    assert!(ours.iter().all(|view| !theirs.contains(view)), "another seed has other windows");
}

#[test]
fn clips_with_few_crops_have_windows_of_their_own_and_whole_frames_stay_whole() {
    let loader = |crops| Loader::new(drawn(8), LoaderConfig { crops, ..config(8, 16, 16) }, 5).unwrap();
    let whole = values(&loader(0).batch(0, false, CPU).unwrap().world_view);
    assert_eq!(values(&loader(2).batch(0, false, CPU).unwrap().world_view), whole);
    // With one crop each, two epochs show the same eight views.
    let keys = |step| {
        let mut keys = loader(1).keyed().batch(step, true, CPU).unwrap().keys;
        keys.sort();
        keys
    };
    assert_eq!(keys(0), keys(1));
    assert_ne!(keys(0), {
        let mut fresh = loader(0).keyed().batch(0, true, CPU).unwrap().keys;
        fresh.sort();
        fresh
    });
}

#[test]
fn a_stored_configuration_without_crops_draws_fresh_ones() {
    let text = toml::to_string(&config(4, 14, 16)).unwrap();
    assert!(text.contains("crops = 0\n"));
    let found: LoaderConfig = toml::from_str(&text.replace("crops = 0\n", "")).unwrap();
    assert_eq!(found, config(4, 14, 16));
}
