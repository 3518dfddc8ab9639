//! The latents cache: what comes out is what was put in, under the right key, within its size, one writer at a time.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use cola_data::{
    CacheOptions, CacheState, ClipKey, CropConfig, DrawnConfig, DrawnWorld, Error, Frames, LatentCache,
    Loader, LoaderConfig,
};

const CPU: &Device = &Device::Cpu;
const SHAPE: [usize; 4] = [4, 2, 3, 3];
const CODEC: &str = "vae-1";

fn key(number: u8) -> ClipKey {
    ClipKey::of(&Frames { count: 1, height: 1, width: 1, rgb: vec![number, 0, 0] })
}

/// Latents that are all their own.
fn latents(number: u8) -> Tensor {
    let count = SHAPE.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| f32::from(number) + 0.1 * i as f32).collect();
    Tensor::from_vec(values, &SHAPE[..], CPU).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn open(folder: &Path) -> LatentCache {
    LatentCache::open(folder, CODEC, CacheOptions { bytes: 1 << 20, shard: 700 }).unwrap()
}

/// Bytes of all files of a folder, and how many there are.
fn on_disk(folder: &Path) -> (u64, usize) {
    let sizes: Vec<u64> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    (sizes.iter().sum(), sizes.len())
}

#[test]
fn what_was_put_in_comes_out_in_the_same_bits_also_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    for number in 0..7 {
        assert!(cache.get(&key(number), SHAPE).unwrap().is_none());
        cache.insert(&key(number), &latents(number)).unwrap();
        let found = cache.get(&key(number), SHAPE).unwrap().expect("it was put in");
        assert_eq!((found.dims(), values(&found)), (&SHAPE[..], values(&latents(number))));
    }
    let report = cache.take_report();
    assert_eq!((report.hits, report.misses, report.added, report.entries), (7, 7, 7, 7));
    assert_eq!((report.damaged, report.state, report.rate()), (0, CacheState::Filling, 50.0));
    assert_eq!(report.bytes, on_disk(folder.path()).0, "what it tells is what the files take up");
    // Three entries of 288 bytes fill a file of 700.
    assert_eq!(on_disk(folder.path()).1, 1 + 3);
    drop(cache);

    let cache = open(folder.path());
    for number in 0..7 {
        let found = cache.get(&key(number), SHAPE).unwrap().expect("it is on the disk");
        assert_eq!(values(&found), values(&latents(number)));
    }
    assert!(cache.get(&key(7), SHAPE).unwrap().is_none());
    let report = cache.take_report();
    assert_eq!((report.hits, report.misses, report.added, report.entries), (7, 1, 0, 7));
    assert_eq!(cache.take_report().hits, 0, "each report tells of what came after the last one");
}

#[test]
fn what_waits_in_memory_reaches_the_disk_when_the_cache_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let cache = LatentCache::open(folder.path(), CODEC, CacheOptions::within(1 << 30)).unwrap();
    cache.insert(&key(1), &latents(1)).unwrap();
    drop(cache);
    assert!(open(folder.path()).get(&key(1), SHAPE).unwrap().is_some());
}

#[test]
fn another_codec_another_clip_and_another_shape_are_not_found() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).insert(&key(1), &latents(1)).unwrap();
    let cache = open(folder.path());
    assert!(cache.get(&key(2), SHAPE).unwrap().is_none());
    assert!(cache.get(&key(1), [4, 2, 9, 1]).unwrap().is_none());
    assert!(cache.get(&key(1), SHAPE).unwrap().is_some());
    drop(cache);
    let other = LatentCache::open(folder.path(), "vae-2", CacheOptions::within(1 << 20)).unwrap();
    assert!(other.get(&key(1), SHAPE).unwrap().is_none());
    // Both live in one folder.
    other.insert(&key(1), &latents(9)).unwrap();
    drop(other);
    assert_eq!(values(&open(folder.path()).get(&key(1), SHAPE).unwrap().unwrap()), values(&latents(1)));
}

#[test]
fn a_key_is_the_sizes_and_pixels_of_a_view_and_nothing_else() {
    let view = |count, height, width, rgb: &[u8]| Frames { count, height, width, rgb: rgb.to_vec() };
    let rgb = [7; 24];
    let of = ClipKey::of(&view(2, 2, 2, &rgb));
    assert_eq!(of, ClipKey::of(&view(2, 2, 2, &rgb)));
    for other in [view(1, 4, 2, &rgb), view(2, 4, 1, &rgb), view(8, 1, 1, &rgb)] {
        assert_ne!(of, ClipKey::of(&other), "the same pixels in another shape");
    }
    for place in 0..rgb.len() {
        let mut changed = rgb;
        changed[place] ^= 1;
        assert_ne!(of, ClipKey::of(&view(2, 2, 2, &changed)));
    }
}

#[test]
fn keys_belong_to_the_view_of_the_world_model_and_change_no_batch() {
    let world: Arc<DrawnWorld> = Arc::new(DrawnWorld::new(DrawnConfig::tiny(), 1).unwrap());
    let config = |lam_size| LoaderConfig {
        batch: 4,
        lam_size,
        world_size: 16,
        crop: CropConfig::paper(),
        crops: 0,
        budget: 0,
    };
    let plain = Loader::new(world.clone(), config(14), 5).unwrap().batch(2, true, CPU).unwrap();
    assert!(plain.keys.is_empty());
    let keyed = Loader::new(world.clone(), config(14), 5).unwrap().keyed();
    let batch = keyed.batch(2, true, CPU).unwrap();
    assert_eq!(values(&plain.world_view), values(&batch.world_view));
    assert_eq!(batch.keys.len(), 4);
    let same = Loader::new(world, config(16), 5).unwrap().keyed().batch(2, true, CPU).unwrap();
    assert_eq!(same.keys, batch.keys, "the other model's view is no part of it");
    // Whole frames: the key is that of the picture as it comes out of the batch.
    let whole = keyed.batch(2, false, CPU).unwrap();
    assert_ne!(whole.keys, batch.keys);
    for (at, key) in whole.keys.iter().enumerate() {
        let view = whole.world_view.get(at).unwrap().permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        let rgb = values(&view).iter().map(|value| (value * 255.0).round() as u8).collect();
        assert_eq!(*key, ClipKey::of(&Frames { count: view.dim(0).unwrap(), height: 16, width: 16, rgb }));
    }
}

#[test]
fn the_size_is_never_exceeded_and_what_came_first_stays() {
    for (bytes, shard) in [(0, 0), (3000, 0), (3000, 700), (3000, 1 << 20), (5000, 900)] {
        let folder = tempfile::tempdir().unwrap();
        let options = CacheOptions { bytes, shard };
        let cache = LatentCache::open(folder.path(), CODEC, options).unwrap();
        let mut kept = 0;
        for number in 0..40 {
            cache.insert(&key(number), &latents(number)).unwrap();
            cache.flush();
            assert!(on_disk(folder.path()).0 <= bytes, "{options:?} after {number}");
            kept += usize::from(cache.get(&key(number), SHAPE).unwrap().is_some());
        }
        let report = cache.take_report();
        assert_eq!((report.state, report.entries, report.limit), (CacheState::Full, kept, bytes));
        assert!(report.to_string().contains("full"), "{report}");
        assert_eq!(kept > 0, bytes > 0);
        for number in 0..kept {
            assert!(cache.get(&key(number as u8), SHAPE).unwrap().is_some(), "{number} of {kept}");
        }
        drop(cache);
        // A smaller size removes nothing, and adds nothing.
        let smaller = LatentCache::open(folder.path(), CODEC, CacheOptions { bytes: 1, shard: 1 }).unwrap();
        smaller.insert(&key(99), &latents(99)).unwrap();
        let report = smaller.take_report();
        assert_eq!((report.entries, report.state), (kept, CacheState::Full));
    }
}

#[test]
fn a_second_one_reads_what_is_there_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    first.insert(&key(1), &latents(1)).unwrap();
    first.flush();
    let second = open(folder.path());
    assert!(second.get(&key(1), SHAPE).unwrap().is_some());
    let before = on_disk(folder.path());
    second.insert(&key(2), &latents(2)).unwrap();
    let report = second.take_report();
    assert_eq!((report.state, report.added), (CacheState::ReadOnly, 0));
    assert!(report.troubles[0].contains("another process writes"), "{:?}", report.troubles);
    assert!(second.get(&key(2), SHAPE).unwrap().is_none());
    assert_eq!(on_disk(folder.path()), before);
    first.insert(&key(3), &latents(3)).unwrap();
    drop((first, second));
    let third = open(folder.path());
    third.insert(&key(2), &latents(2)).unwrap();
    let report = third.take_report();
    assert_eq!((report.state, report.added, report.entries), (CacheState::Filling, 1, 3));
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache-00000000.safetensors");
    std::fs::write(&file, b"somebody else's").unwrap();
    let error = LatentCache::open(folder.path(), CODEC, CacheOptions::within(1 << 20)).map(|_| ());
    let error = error.expect_err("it is no cache");
    assert!(matches!(error, Error::Setting { field: "latents.cache", .. }), "{error}");
    assert!(error.to_string().contains("cache-00000000.safetensors"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"somebody else's");
    let inside = LatentCache::open(&file, CODEC, CacheOptions::within(1 << 20)).map(|_| ());
    assert!(matches!(inside, Err(Error::Write { .. })));
}

#[test]
fn a_disk_that_refuses_ends_the_writing_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    let cache = LatentCache::open(&folder, CODEC, CacheOptions { bytes: 1 << 20, shard: 1 }).unwrap();
    cache.insert(&key(1), &latents(1)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    cache.insert(&key(2), &latents(2)).unwrap();
    for number in 1..3 {
        assert!(cache.get(&key(number), SHAPE).unwrap().is_none());
    }
    let report = cache.take_report();
    assert_eq!((report.state, report.damaged, report.entries), (CacheState::ReadOnly, 1, 0));
    assert!(report.troubles.iter().any(|trouble| trouble.contains("cannot be written")), "{report:?}");
}

#[test]
fn latents_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let flat = Tensor::zeros((4, 4), DType::F32, CPU).unwrap();
    assert!(matches!(cache.insert(&key(1), &flat), Err(Error::Tensor(_))));
    let wide = latents(1).to_dtype(DType::F64).unwrap();
    assert!(matches!(cache.insert(&key(1), &wide), Err(Error::Setting { .. })));
    assert_eq!(cache.take_report().added, 0);
}

#[test]
fn leftovers_of_a_killed_process_are_cleared_and_its_files_kept() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).insert(&key(1), &latents(1)).unwrap();
    let partial = folder.path().join(".cache-00000001.safetensors.partial");
    let other = folder.path().join(".notes.partial");
    std::fs::write(&partial, [0; 99]).unwrap();
    std::fs::write(&other, [0; 9]).unwrap();
    let cache = open(folder.path());
    assert!(cache.get(&key(1), SHAPE).unwrap().is_some());
    assert_eq!((partial.exists(), other.exists()), (false, true));
}
