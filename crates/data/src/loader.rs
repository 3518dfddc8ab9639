//! From clips to batches: seeded order, one crop for each clip, both views of it, tensors.

mod failures;
mod feeder;
mod key;
mod order;
mod views;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use cola_random::{Stream, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use self::failures::Failure;
pub use self::feeder::{Feeder, FeederConfig, Stall};
pub use self::key::ClipKey;

use self::failures::{Broken, Failures};
use self::order::{Drawn, Order};
use self::views::{Place, Sizes, Taken, Views};
use crate::crop::{Crop, CropConfig};
use crate::{Clip, ClipSource, Error};

/// Further clips that are tried in place of one that cannot be read.
const ATTEMPTS: u64 = 8;

/// Sizes of the batches and how clips are cropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderConfig {
    /// Clips in a batch, `B`.
    pub batch: usize,
    /// Side of the latent action model's pictures, pixels.
    pub lam_size: usize,
    /// Side of the world model's pictures, pixels.
    pub world_size: usize,
    /// Windows drawn for augmented batches.
    pub crop: CropConfig,
    /// Windows that each clip has: its samples draw one of them. 0 draws a fresh window for every sample.
    #[serde(default)]
    pub crops: usize,
    /// Clips of each share that may turn out to be unreadable, and be replaced, before the loader gives up. A resumed run
    /// counts anew.
    #[serde(default)]
    pub budget: usize,
}

impl LoaderConfig {
    /// Refuses empty batches, empty pictures and crops that cannot be drawn.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let fields = [("batch", self.batch), ("lam_size", self.lam_size), ("world_size", self.world_size)];
        match fields.into_iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(Error::setting(field, 0, "at least 1")),
            None => self.crop.check(),
        }
    }
}

/// `B` clips as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The latent action model's view, `(B, T, 3, lam_size, lam_size)`, f32, `[0, 1]`.
    pub lam_view: Tensor,
    /// The same windows for the world model, `(B, T, 3, world_size, world_size)`; the same tensor if the sizes are
    /// equal.
    pub world_view: Tensor,
    /// Real actions, `(B, T - 1, A)`, f32; `None` if the source has none, if clips have one frame, or if the batch holds
    /// clips with different `A`, as a batch of a [`Mixture`](crate::Mixture) may.
    pub actions: Option<Tensor>,
    /// Global number of each sample, the key of everything drawn for it.
    pub samples: Vec<u64>,
    /// Index of each clip in the source.
    pub clips: Vec<usize>,
    /// Key of each clip's view for the world model; empty unless asked for, see [`Loader::keyed`].
    pub keys: Vec<ClipKey>,
}

impl Batch {
    /// The clips `range` of it with their sample numbers; views of the same memory.
    ///
    /// # Errors
    /// A range that the batch does not have.
    pub fn part(&self, range: Range<usize>) -> candle_core::Result<Self> {
        let clips = self.clips.get(range.clone()).zip(self.samples.get(range.clone()));
        let Some((clips, samples)) = clips else {
            candle_core::bail!("clips {range:?} of a batch of {}", self.samples.len());
        };
        let part = |tensor: &Tensor| tensor.narrow(0, range.start, range.len());
        Ok(Self {
            lam_view: part(&self.lam_view)?,
            world_view: part(&self.world_view)?,
            actions: self.actions.as_ref().map(part).transpose()?,
            samples: samples.to_vec(),
            clips: clips.to_vec(),
            keys: self.keys.get(range).map(<[ClipKey]>::to_vec).unwrap_or_default(),
        })
    }
}

/// Batches of a source in a seeded order.
///
/// A batch depends on no earlier one: seed and step number are all that a resumed run needs. Step `s` takes the samples
/// `s * B .. (s + 1) * B`. Sample `g` of a source with one [share](ClipSource::shares) is element `g % len` of the
/// permutation of epoch `g / len`. With several, each block of 65,536 samples holds a fixed number of every share, in an
/// order of its own, and each share is passed through in such epochs: its `n`-th sample is element `n % len` of its
/// permutation number `n / len`. The crop of a sample is drawn from a stream of its own, or,
/// with [`crops`](LoaderConfig::crops), chosen with one among the clip's, each of which has a stream of its own.
///
/// # Broken clips
/// With a [budget](LoaderConfig::budget) above 0, a clip that cannot be read is replaced by another one of its share,
/// a function of seed, sample and attempt; so batches stay the same whoever makes them and whatever was met before.
/// [`failures`](Self::failures) lists what was replaced. Without a budget the source's own error is returned.
pub struct Loader {
    source: Arc<dyn ClipSource>,
    config: LoaderConfig,
    seed: u64,
    sizes: Sizes,
    order: Order,
    failures: Failures,
}

impl Loader {
    /// Batches of `source`.
    ///
    /// # Errors
    /// A source without clips or with a share of more than 2^32 - 1 of them, shares without a positive weight, batches
    /// that no memory holds, and what [`LoaderConfig::check`] refuses.
    pub fn new(source: Arc<dyn ClipSource>, config: LoaderConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        let LoaderConfig { batch, lam_size: lam, world_size: world, .. } = config;
        let sizes = Sizes { batch, frames: source.frames_per_clip(), lam, world, keyed: false };
        sizes.check()?;
        let order = Order::new(&*source, seed)?;
        let failures = Failures::new(config.budget, order.shares().len());
        Ok(Self { source, config, seed, sizes, order, failures })
    }

    /// The same batches with the [keys](Batch::keys) of their clips, which cost a SHA-256 over the pixels of each.
    pub fn keyed(mut self) -> Self {
        self.sizes.keyed = true;
        self
    }

    /// The clips.
    pub fn source(&self) -> &Arc<dyn ClipSource> {
        &self.source
    }

    /// Sizes and crops.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// The clips that were replaced so far, each once, by share and number. Batches that a [`Feeder`] has ready but
    /// nobody took do not count.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.list(self.order.shares())
    }

    /// Batch number `step`: a pure function of the seed, `step` and `augment`.
    ///
    /// With `augment` each clip is cropped to a random window, the same for all its frames and for both views; without,
    /// the whole frame is used.
    ///
    /// # Errors
    /// What the source and the device report; [`Error::Broken`] if there is a budget and it is used up.
    pub fn batch(&self, step: u64, augment: bool, device: &Device) -> Result<Batch, Error> {
        self.part(step, 0..self.config.batch, augment, device)
    }

    /// The clips `range` of batch number `step`, made without the others: the same as [`Batch::part`] of the whole batch.
    /// For workers that share each batch; who makes which clips changes nothing.
    ///
    /// # Errors
    /// As [`Loader::batch`]; an empty range or one that the batch does not have.
    pub fn part(
        &self,
        step: u64,
        range: Range<usize>,
        augment: bool,
        device: &Device,
    ) -> Result<Batch, Error> {
        if range.is_empty() || range.end > self.config.batch {
            let expected = format!("clips of a batch of {}", self.config.batch);
            return Err(Error::setting("part of a batch", format!("{range:?}"), expected));
        }
        self.finish(self.views(step, range, augment, || Ok::<_, Error>(()))?, device)
    }

    /// The part of a batch that needs no device. `go_on` is asked before each clip and may end the work.
    fn views<E: From<Error> + Send>(
        &self,
        step: u64,
        range: Range<usize>,
        augment: bool,
        go_on: impl Fn() -> Result<(), E> + Sync,
    ) -> Result<Views, E> {
        let first = step.wrapping_mul(self.config.batch as u64);
        let samples: Vec<u64> = range.map(|i| first.wrapping_add(i as u64)).collect();
        let drawn = self.order.draw(&samples);
        let sizes = Sizes { batch: samples.len(), ..self.sizes };
        Views::make(sizes, &samples, |at, place| {
            go_on()?;
            Ok(self.take(samples[at], drawn[at], augment, place)?)
        })
    }

    /// The clip of one sample, or one that stands in for it.
    fn take(
        &self,
        sample: u64,
        mut drawn: Drawn,
        augment: bool,
        place: &mut Place<'_>,
    ) -> Result<Taken, Error> {
        let mut broken = Vec::new();
        for attempt in 1..=ATTEMPTS + 1 {
            let index = self.order.index(drawn);
            match self.read(index, sample, augment, place) {
                Ok((Clip { actions, action_dim, .. }, key)) => {
                    return Ok(Taken { clip: Some(index), actions, action_dim, key, broken });
                }
                Err(error) => match Broken::new(drawn, &error).filter(|_| self.config.budget > 0) {
                    Some(found) => broken.push(found),
                    None => return Err(error),
                },
            }
            drawn = self.order.replacement(drawn.share, sample, attempt);
        }
        Ok(Taken { clip: None, actions: Vec::new(), action_dim: 0, key: None, broken })
    }

    fn read(
        &self,
        index: usize,
        sample: u64,
        augment: bool,
        place: &mut Place<'_>,
    ) -> Result<(Clip, Option<ClipKey>), Error> {
        let clip = self.source.clip(index)?;
        let (height, width) = (clip.frames.height, clip.frames.width);
        let crop = match augment {
            true => self.config.crop.draw(height, width, &mut self.crop_stream(index, sample)),
            false => Crop::full(height, width),
        };
        let key = place.fill(&clip, &crop)?;
        Ok((clip, key))
    }

    /// What the crop of a sample is drawn from: its own stream, or that of one of the clip's few crops.
    fn crop_stream(&self, index: usize, sample: u64) -> Stream {
        match self.config.crops as u64 {
            0 => stream(self.seed, "crop", 0, sample),
            crops => {
                let variant = stream(self.seed, "crop-choice", 0, sample).random_range(0..crops);
                stream(self.seed, "crop-variant", variant, index as u64)
            }
        }
    }

    /// Tensors of the views; what was broken among them is counted only here, where steps come one after the other, so
    /// that the step at which the budget ends does not depend on who was ahead.
    fn finish(&self, views: Views, device: &Device) -> Result<Batch, Error> {
        for taken in &views.taken {
            for (at, broken) in taken.broken.iter().enumerate() {
                let last = taken.clip.is_none() && at + 1 == taken.broken.len();
                self.failures.record(broken, last, self.order.shares())?;
            }
        }
        views.batch(device)
    }
}

/// A batch of whole frames, for evaluation: `samples` and `clips` count from 0, and there are keys.
///
/// # Errors
/// No clips, clips of different lengths, and what the device reports.
pub fn collate(clips: &[Clip], lam_size: usize, world_size: usize, device: &Device) -> Result<Batch, Error> {
    let Some(first) = clips.first() else {
        return Err(Error::setting("clips of a batch", 0, "at least 1"));
    };
    let sizes = Sizes {
        batch: clips.len(),
        frames: first.frames.count,
        lam: lam_size,
        world: world_size,
        keyed: true,
    };
    let samples: Vec<u64> = (0..clips.len() as u64).collect();
    let views = Views::make(sizes, &samples, |at, place| {
        let clip = &clips[at];
        let key = place.fill(clip, &Crop::full(clip.frames.height, clip.frames.width))?;
        let (actions, action_dim) = (clip.actions.clone(), clip.action_dim);
        Ok::<_, Error>(Taken { clip: Some(at), actions, action_dim, key, broken: Vec::new() })
    })?;
    views.batch(device)
}
