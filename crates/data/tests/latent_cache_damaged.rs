//! Damaged and hostile caches: whatever the bytes, what comes out is what was put in, or nothing.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cola_data::{CacheOptions, CacheState, ClipKey, Frames, LatentCache};
use proptest::prelude::*;

const SHAPE: [usize; 4] = [4, 1, 1, 1];
const ENTRIES: u8 = 2;
const OPTIONS: CacheOptions = CacheOptions { bytes: 1 << 20, shard: 1 << 16 };

fn key(number: u8) -> ClipKey {
    ClipKey::of(&Frames { count: 1, height: 1, width: 1, rgb: vec![number, 0, 0] })
}

fn values(number: u8) -> Vec<f32> {
    (0..4u8).map(|i| f32::from(number) + f32::from(i) / 8.0).collect()
}

fn open(folder: &Path) -> LatentCache {
    LatentCache::open(folder, "vae", OPTIONS).unwrap()
}

fn fill(cache: &LatentCache) {
    for number in 0..ENTRIES {
        cache
            .insert(&key(number), &Tensor::from_vec(values(number), &SHAPE[..], &Device::Cpu).unwrap())
            .unwrap();
    }
}

fn shard(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("cache-{number:08}.safetensors"))
}

/// Entries that are found, each of which must be whole.
fn found(cache: &LatentCache) -> u8 {
    let mut found = 0;
    for number in 0..ENTRIES {
        if let Some(latents) = cache.get(&key(number), SHAPE).unwrap() {
            let bits = latents.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(bits, values(number), "entry {number}");
            found += 1;
        }
    }
    found
}

/// Puts `bytes` in place of the only file: the cache finds whole entries or none, and is whole again once it is filled.
fn survives(folder: &Path, bytes: &[u8], told: &str) -> u8 {
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "safetensors") {
            std::fs::remove_file(file).unwrap();
        }
    }
    std::fs::write(shard(folder, 0), bytes).unwrap();
    let cache = open(folder);
    let whole = found(&cache);
    fill(&cache);
    let report = cache.take_report();
    assert_eq!((report.state, report.troubles.len() as u64), (CacheState::Filling, report.damaged), "{told}");
    drop(cache);
    assert_eq!(found(&open(folder)), ENTRIES, "{told}");
    whole
}

/// A cache with one file, and that file.
fn filled() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    fill(&open(folder.path()));
    let bytes = std::fs::read(shard(folder.path(), 0)).unwrap();
    assert!(!shard(folder.path(), 1).exists());
    (folder, bytes)
}

#[test]
fn a_flipped_bit_anywhere_gives_no_wrong_latents() {
    let (folder, bytes) = filled();
    assert_eq!(survives(folder.path(), &bytes, "nothing"), ENTRIES);
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        let whole = survives(folder.path(), &damaged, &format!("byte {place}"));
        // The last 32 bytes are the latents: one of them is damaged, the other is not.
        if place >= bytes.len() - 32 {
            assert_eq!(whole, 1, "byte {place}");
        }
    }
}

#[test]
fn a_file_cut_off_or_lengthened_anywhere_gives_nothing_and_is_replaced() {
    let (folder, bytes) = filled();
    for kept in 0..bytes.len() {
        assert_eq!(survives(folder.path(), &bytes[..kept], &format!("{kept} bytes")), 0);
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert_eq!(survives(folder.path(), &longer, "one more"), 0);
}

#[test]
fn damage_while_the_cache_is_open_is_noticed_told_and_mended() {
    let (folder, bytes) = filled();
    let file = shard(folder.path(), 0);
    let cache = open(folder.path());
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    assert_eq!(found(&cache), 1);
    let report = cache.take_report();
    assert_eq!((report.hits, report.misses, report.damaged, report.entries), (1, 1, 1, 1));
    let trouble = &report.troubles[0];
    assert!(trouble.contains("cache-00000000") && trouble.contains("checksum"), "{trouble}");
    // Once told, once dropped: it is only missing from now on.
    assert_eq!(found(&cache), 1);
    assert_eq!(cache.take_report().damaged, 0);
    fill(&cache);
    assert_eq!(found(&cache), ENTRIES);
    drop(cache);
    assert_eq!(found(&open(folder.path())), ENTRIES, "the newer file's entry counts");

    let cache = open(folder.path());
    std::fs::write(&file, &bytes[..bytes.len() - 40]).unwrap();
    std::fs::remove_file(shard(folder.path(), 1)).unwrap();
    assert_eq!(found(&cache), 0);
    assert_eq!(cache.take_report().damaged, u64::from(ENTRIES));
}

#[test]
fn who_only_reads_removes_no_damaged_file() {
    let (folder, mut bytes) = filled();
    bytes[3] = 0xff;
    let writer = open(folder.path());
    std::fs::write(shard(folder.path(), 0), &bytes).unwrap();
    let reader = open(folder.path());
    assert_eq!((found(&reader), reader.take_report().damaged), (0, 1));
    assert!(shard(folder.path(), 0).exists());
    drop((reader, writer));
    assert_eq!(open(folder.path()).take_report().damaged, 1);
    assert!(!shard(folder.path(), 0).exists());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_neither_waited_for_nor_followed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::create_dir(shard(folder.path(), 0)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", shard(folder.path(), 1)).unwrap();
    std::os::unix::fs::symlink("nowhere", shard(folder.path(), 2)).unwrap();
    let cache = open(folder.path());
    fill(&cache);
    assert_eq!(found(&cache), ENTRIES);
    assert_eq!(cache.take_report().damaged, 3);
    drop(cache);
    let cache = open(folder.path());
    assert_eq!(found(&cache), ENTRIES, "a folder cannot be replaced, the next number is taken");
}

/// A header with a few hostile places, and what stands behind it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop_oneof![0..64u64, any::<u64>(), Just(u64::MAX), Just(1 << 40)];
    let entry = (0..3u8, prop::collection::vec(number(), 0..6), number(), number(), "[0-9a-f]{0,9}");
    let header = (prop::collection::vec(entry, 0..4), any::<bool>()).prop_map(|(entries, known)| {
        let format = if known { "cola-latent-cache 1" } else { "another" };
        let (mut sums, mut tensors) = (format!("\"format\":\"{format}\""), String::new());
        for (number, shape, begin, end, sum) in entries {
            let name = key(number).to_string();
            sums += &format!(",\"{name}\":\"{sum}\"");
            tensors += &format!(
                ",\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}"
            );
        }
        format!("{{\"__metadata__\":{{{sums}}}{tensors}}}").into_bytes()
    });
    let length = prop_oneof![4 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let text = prop_oneof![3 => header, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    (length, text, prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(length, text, data)| {
        let length = length.unwrap_or(text.len() as u64);
        length.to_le_bytes().into_iter().chain(text).chain(data).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn hostile_files_are_survived(bytes in hostile()) {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        survives(folder.path(), &bytes, "hostile bytes");
    }

    #[test]
    fn several_flips_and_a_cut_give_no_wrong_latents(
        kept in 0.0..1.2f64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 0..5),
    ) {
        let (folder, mut bytes) = filled();
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        bytes.truncate((kept * bytes.len() as f64) as usize);
        survives(folder.path(), &bytes, "flips");
    }
}
