//! From clips to batches: seeded order, one crop for each clip, both views of it, tensors.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use cola_random::stream;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::crop::{Crop, CropConfig, resize};
use crate::{Clip, ClipSource, Error};

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
    /// Real actions, `(B, T - 1, A)`, f32; `None` if the source has none or clips have one frame.
    pub actions: Option<Tensor>,
    /// Global number of each sample, the key of everything drawn for it.
    pub samples: Vec<u64>,
    /// Index of each clip in its source.
    pub clips: Vec<usize>,
}

/// Batches of a source in a seeded order.
///
/// A batch depends on no earlier one, so a resumed run continues with the step number alone: step `s` takes the samples
/// `s * B .. (s + 1) * B`; sample `g` is element `g % len` of the permutation of epoch `g / len`, and its crop is drawn
/// from a stream of its own.
pub struct Loader {
    source: Arc<dyn ClipSource>,
    config: LoaderConfig,
    seed: u64,
    /// The permutation used last: shuffling millions of clips for each batch would be slow.
    order: Mutex<Option<(u64, Arc<[u32]>)>>,
}

impl Loader {
    /// Batches of `source`.
    ///
    /// # Errors
    /// A source without clips or with more than 2^32 of them, and what [`LoaderConfig::check`] refuses.
    pub fn new(source: Arc<dyn ClipSource>, config: LoaderConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        if source.is_empty() || u32::try_from(source.len()).is_err() {
            return Err(Error::setting("clips of the source", source.len(), "1 to 2^32 - 1"));
        }
        Ok(Self { source, config, seed, order: Mutex::new(None) })
    }

    /// The clips.
    pub fn source(&self) -> &Arc<dyn ClipSource> {
        &self.source
    }

    /// Sizes and crops.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// Batch number `step`: a pure function of the seed, `step` and `augment`.
    ///
    /// With `augment` each clip is cropped to a random window, the same for all its frames and for both views; without,
    /// the whole frame is used.
    ///
    /// # Errors
    /// What the source and the device report.
    pub fn batch(&self, step: u64, augment: bool, device: &Device) -> Result<Batch, Error> {
        let first = step.wrapping_mul(self.config.batch as u64);
        let samples: Vec<u64> = (0..self.config.batch as u64).map(|i| first.wrapping_add(i)).collect();
        let clips: Vec<usize> = samples.iter().map(|&sample| self.clip_of(sample)).collect();
        let views = samples.par_iter().zip(&clips).map(|(&sample, &index)| {
            let clip = self.source.clip(index)?;
            let (height, width) = (clip.frames.height, clip.frames.width);
            let crop = match augment {
                true => self.config.crop.draw(height, width, &mut stream(self.seed, "crop", 0, sample)),
                false => Crop::full(height, width),
            };
            Views::new(&clip, &crop, self.config.lam_size, self.config.world_size)
        });
        let views = views.collect::<Result<Vec<_>, Error>>()?;
        assemble(views, samples, clips, device)
    }

    /// Which clip sample `sample` is.
    fn clip_of(&self, sample: u64) -> usize {
        let len = self.source.len() as u64;
        let (epoch, place) = (sample / len, (sample % len) as usize);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kept, order)) = &*order
            && *kept == epoch
        {
            return order[place] as usize;
        }
        let mut shuffled: Vec<u32> = (0..len as u32).collect();
        shuffled.shuffle(&mut stream(self.seed, "order", epoch, 0));
        let clip = shuffled[place] as usize;
        *order = Some((epoch, shuffled.into()));
        clip
    }
}

/// A batch of whole frames, for evaluation: `samples` and `clips` count from 0.
///
/// # Errors
/// No clips, clips of different lengths or action sizes, and what the device reports.
pub fn collate(clips: &[Clip], lam_size: usize, world_size: usize, device: &Device) -> Result<Batch, Error> {
    let views = clips.par_iter().map(|clip| {
        let crop = Crop::full(clip.frames.height, clip.frames.width);
        Views::new(clip, &crop, lam_size, world_size)
    });
    let views = views.collect::<Result<Vec<_>, Error>>()?;
    assemble(views, (0..clips.len() as u64).collect(), (0..clips.len()).collect(), device)
}

/// A clip's part of a batch.
struct Views {
    frames: usize,
    lam: View,
    /// `None` if it is the same as `lam`.
    world: Option<View>,
    actions: Vec<f32>,
    action_dim: usize,
}

/// `(T, 3, side, side)`, `[0, 1]`.
struct View {
    side: usize,
    values: Vec<f32>,
}

impl Views {
    fn new(clip: &Clip, crop: &Crop, lam_size: usize, world_size: usize) -> Result<Self, Error> {
        let view = |side: usize| {
            let frames = resize(&clip.frames, crop, side, side)?;
            let mut values = vec![0.0; frames.rgb.len()];
            let pictures =
                frames.rgb.chunks_exact(side * side * 3).zip(values.chunks_exact_mut(side * side * 3));
            for (picture, planes) in pictures {
                for (channel, plane) in planes.chunks_exact_mut(side * side).enumerate() {
                    for (value, pixel) in plane.iter_mut().zip(picture.chunks_exact(3)) {
                        *value = f32::from(pixel[channel]) / 255.0;
                    }
                }
            }
            Ok::<_, Error>(View { side, values })
        };
        let lam = view(lam_size)?;
        let world = if world_size == lam_size { None } else { Some(view(world_size)?) };
        let (actions, action_dim) = (clip.actions.clone(), clip.action_dim);
        Ok(Self { frames: clip.frames.count, lam, world, actions, action_dim })
    }
}

/// Puts the parts of a batch together.
fn assemble(
    views: Vec<Views>,
    samples: Vec<u64>,
    clips: Vec<usize>,
    device: &Device,
) -> Result<Batch, Error> {
    let Some(first) = views.first() else {
        return Err(Error::setting("clips of a batch", 0, "at least 1"));
    };
    let (batch, frames, action_dim) = (views.len(), first.frames, first.action_dim);
    for part in &views {
        let actions = part.frames.saturating_sub(1) * part.action_dim;
        if (part.frames, part.action_dim, part.actions.len()) != (frames, action_dim, actions) {
            let found = format!("{} frames, {} action values", part.frames, part.actions.len());
            let expected = format!("{frames} frames with {action_dim} action values between two");
            return Err(Error::setting("clip of a batch", found, expected));
        }
    }
    let tensor = |parts: Vec<&View>| {
        let side = parts[0].side;
        let values = parts.iter().flat_map(|view| &view.values).copied().collect();
        Tensor::from_vec(values, (batch, frames, 3, side, side), device)
    };
    let lam_view = tensor(views.iter().map(|part| &part.lam).collect())?;
    let world: Vec<&View> = views.iter().filter_map(|part| part.world.as_ref()).collect();
    let world_view = if world.is_empty() { lam_view.clone() } else { tensor(world)? };
    let actions: Vec<f32> = views.iter().flat_map(|part| &part.actions).copied().collect();
    let actions = match actions.is_empty() {
        true => None,
        false => Some(Tensor::from_vec(actions, (batch, frames - 1, action_dim), device)?),
    };
    Ok(Batch { lam_view, world_view, actions, samples, clips })
}
