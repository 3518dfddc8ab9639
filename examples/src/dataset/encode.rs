//! `dataset encode`: latents of whole episodes.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use cola_data::{ClipOptions, Crop, Region, Stretch, View, resize};
use cola_report::Progress;
use cola_weights::bytes;

use crate::dataset::args::{EncodeArgs, LatentType};
use crate::dataset::codec::Codec;
use crate::dataset::latents::{FILE, Made, SourceMade, Store, ViewMade};
use crate::dataset::source::Source;
use crate::folder::RunFolder;
use crate::lam::model::region_of;
use crate::sources::{robodesk, same_folder};

/// Pieces that are decoded together: a decoder starts at a key frame, which may lie far before a piece.
const PIECES: usize = 16;

/// Encodes every episode that is not there yet.
///
/// # Errors
/// A dataset, codec or folder that will not do.
pub fn run(args: &EncodeArgs) -> Result<()> {
    let source = Source::open(&args.data)?;
    let camera = source.dataset.camera(args.data.camera.as_deref())?.clone();
    let codec = Codec::open(args)?;
    let region = match (&args.region.region, codec.region) {
        (Some(region), _) => region_of(region)?,
        // The cut-out belongs to the pictures it was chosen for.
        (None, Some(region)) if same_folder(&source.path, &robodesk()) => region,
        (None, _) => Region::FULL,
    };
    let side = args.side.unwrap_or(codec.side);
    if !side.is_multiple_of(codec.made.factor) {
        bail!("--side {side}: this codec needs a multiple of {}", codec.made.factor);
    }
    let store = codec.store.unwrap_or(side);
    let options =
        ClipOptions { camera: None, frames: 1, frame_stride: args.stride, rate: None, region, store };
    let encoder = Encoder {
        source: &source,
        camera: &camera.key,
        codec: &codec,
        view: options.view(camera.size)?,
        side,
    };
    let dtype = match args.dtype {
        LatentType::F32 => DType::F32,
        LatentType::F16 => DType::F16,
    };
    let made = Made {
        source: SourceMade {
            name: source.name(),
            format: source.dataset.format(),
            episodes: source.dataset.episodes().len(),
            camera: camera.key.clone(),
        },
        codec: codec.made.clone(),
        view: ViewMade { region, store, side, stride: args.stride },
        dtype: dtype.as_str().into(),
    };
    println!("dataset    {}, camera {}", source.name(), camera.key);
    println!("codec      {}, {}", codec.made.fingerprint, codec.origin);
    println!(
        "latents    {} channels of {1} x {1} for frames of {side} x {side}, {2}",
        codec.made.channels,
        side / codec.made.factor,
        dtype.as_str()
    );

    let folder = RunFolder::create(Some(&args.out), "dataset-encode")?;
    let mut shards = Store::open(&args.out, made, args.shard_mib << 20)?;
    let all = source.dataset.episodes();
    let mut wanted: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut there = 0;
    for &episode in &source.episodes {
        let frames: Vec<usize> = (0..all[episode].frames).step_by(args.stride).collect();
        match shards.entry(episode) {
            Some(entry) if entry.frames == frames.len() && entry.name == all[episode].name => there += 1,
            Some(entry) => bail!(
                "{folder}: holds episode {episode} as `{}` with {} frames, the dataset has `{}` with {}; it has changed, \
                 choose another --out",
                entry.name,
                entry.frames,
                all[episode].name,
                frames.len()
            ),
            // An episode without frames has no latents.
            None if frames.is_empty() => {}
            None => wanted.push((episode, frames)),
        }
    }
    if there > 0 {
        println!("resumes    {there} episodes are here already");
    }
    let total: usize = wanted.iter().map(|(_, frames)| frames.len()).sum();
    let mut bar = (total > 0).then(|| Progress::start("encode", total as u64, 0));
    let mut done = 0;
    for (episode, frames) in &wanted {
        let name = &all[*episode].name;
        let latents = encoder
            .episode(*episode, frames, &mut |count| {
                done += count;
                if let Some(bar) = &mut bar {
                    bar.tick(done as u64, &format!("frames, {name}"));
                }
            })
            .with_context(|| format!("episode {episode} ({name})"))?;
        let latents = latents.to_device(&Device::Cpu)?.to_dtype(dtype)?.contiguous()?;
        shards.add(*episode, name, frames.len(), latents)?;
    }
    if let Some(bar) = bar {
        bar.finish("frames");
    }
    let shards = shards.finish()?;
    let size: u64 = shards.iter().map(|shard| shard.bytes).sum();
    let episodes: usize = shards.iter().map(|shard| shard.episodes.len()).sum();
    println!("output     {folder}/{FILE}: {episodes} episodes in {} shards, {}", shards.len(), bytes(size));
    Ok(())
}

struct Encoder<'a> {
    source: &'a Source,
    camera: &'a str,
    codec: &'a Codec,
    view: View,
    side: usize,
}

impl Encoder<'_> {
    /// Latents `(C, T', H', W')` of these frames, piece by piece; `seen` hears of every piece.
    fn episode(&self, episode: usize, frames: &[usize], seen: &mut dyn FnMut(usize)) -> Result<Tensor> {
        let (side, piece) = (self.side, self.codec.piece());
        let mut parts = Vec::new();
        for block in frames.chunks(piece * PIECES) {
            let stretch = Stretch { episode, frames: block.to_vec() };
            let pictures = self.source.dataset.read(self.camera, &stretch, &self.view)?;
            let whole = Crop::full(pictures.height, pictures.width);
            let pictures = resize(&pictures, &whole, side, side)?;
            for rgb in pictures.rgb.chunks(piece * side * side * 3) {
                parts.push(self.codec.encode(rgb, side)?);
                seen(rgb.len() / (side * side * 3));
            }
        }
        Ok(Tensor::cat(&parts, 1)?)
    }
}
