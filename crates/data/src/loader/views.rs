//! A batch before it is tensors: both views of its clips and their actions, in plain memory.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::Batch;
use super::failures::Broken;
use super::key::ClipKey;
use crate::crop::{Crop, resize};
use crate::{Clip, Error, Frames};

/// Values that one view of a batch may have at most, 64 GiB of them.
const MOST: usize = 1 << 34;

/// What all clips of a batch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Clips, `B`.
    pub(crate) batch: usize,
    /// Frames of each, `T`.
    pub(crate) frames: usize,
    /// Side of the latent action model's pictures.
    pub(crate) lam: usize,
    /// Side of the world model's pictures.
    pub(crate) world: usize,
    /// Whether the keys of the clips are wanted.
    pub(crate) keyed: bool,
}

impl Sizes {
    /// Refuses empty sizes, and sizes whose product no memory holds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { batch, frames, lam, world, .. } = *self;
        let fields =
            [("clips of a batch", batch), ("frames", frames), ("lam_size", lam), ("world_size", world)];
        if let Some((field, _)) = fields.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::setting(field, 0, "at least 1"));
        }
        let side = self.lam.max(self.world);
        let sides = [self.batch, self.frames, 3, side, side];
        let values = sides.into_iter().try_fold(1_usize, usize::checked_mul);
        match values.is_some_and(|values| values <= MOST) {
            true => Ok(()),
            false => Err(Error::setting(
                "batch, frames and size of a view",
                format!("{} x {} pictures of {side} x {side}", self.batch, self.frames),
                format!("at most {MOST} values in all"),
            )),
        }
    }

    /// Values of one clip's view.
    fn values(&self, side: usize) -> usize {
        self.frames * 3 * side * side
    }
}

/// What was found for one sample.
pub(crate) struct Taken {
    /// Index of the clip in its source; `None` if no clip could be read.
    pub(crate) clip: Option<usize>,
    /// `(T - 1, A)`.
    pub(crate) actions: Vec<f32>,
    /// `A`.
    pub(crate) action_dim: usize,
    /// Key of its view, if that is wanted.
    pub(crate) key: Option<ClipKey>,
    /// Clips that were to be read before it and could not.
    pub(crate) broken: Vec<Broken>,
}

/// A batch in memory: `B (T 3) (lam² + world²)` values of 4 bytes.
pub(crate) struct Views {
    sizes: Sizes,
    samples: Vec<u64>,
    /// `(B, T, 3, lam, lam)`, `[0, 1]`.
    lam: Vec<f32>,
    /// `(B, T, 3, world, world)`; empty if it is the same as `lam`.
    world: Vec<f32>,
    pub(crate) taken: Vec<Taken>,
}

/// Where the views of one clip go.
pub(crate) struct Place<'a> {
    sizes: Sizes,
    lam: &'a mut [f32],
    world: Option<&'a mut [f32]>,
}

impl Place<'_> {
    /// Puts the window `crop` of a clip here; returns the key of what the world model sees of it, if that is wanted.
    ///
    /// # Errors
    /// A clip of another length than the batch's, actions that do not fit its frames.
    pub(crate) fn fill(&mut self, clip: &Clip, crop: &Crop) -> Result<Option<ClipKey>, Error> {
        let (frames, between) = (self.sizes.frames, self.sizes.frames.saturating_sub(1));
        if clip.frames.count != frames || Some(clip.actions.len()) != between.checked_mul(clip.action_dim) {
            let found = format!("{} frames, {} action values", clip.frames.count, clip.actions.len());
            let expected = format!("{frames} frames with {} action values between two", clip.action_dim);
            return Err(Error::setting("clip of a batch", found, expected));
        }
        let seen = view(clip, crop, self.sizes.lam, self.lam)?;
        let seen = match &mut self.world {
            Some(world) => view(clip, crop, self.sizes.world, world)?,
            None => seen,
        };
        Ok(self.sizes.keyed.then(|| ClipKey::of(&seen)))
    }
}

/// `(T, 3, side, side)`, `[0, 1]`, from pictures with the channels last, which are returned.
fn view(clip: &Clip, crop: &Crop, side: usize, values: &mut [f32]) -> Result<Frames, Error> {
    let frames = resize(&clip.frames, crop, side, side)?;
    let pictures = frames.rgb.chunks_exact(side * side * 3).zip(values.chunks_exact_mut(side * side * 3));
    for (picture, planes) in pictures {
        for (channel, plane) in planes.chunks_exact_mut(side * side).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(picture.chunks_exact(3)) {
                *value = f32::from(pixel[channel]) / 255.0;
            }
        }
    }
    Ok(frames)
}

impl Views {
    /// The views of these samples, each made by `take`, which is told the sample's place in the batch; on all threads
    /// of rayon's pool.
    ///
    /// # Errors
    /// The first sample's whose `take` failed, however the threads were scheduled; sizes that [`Sizes::check`] refuses.
    pub(crate) fn make<E: From<Error> + Send>(
        sizes: Sizes,
        samples: &[u64],
        take: impl Fn(usize, &mut Place<'_>) -> Result<Taken, E> + Sync,
    ) -> Result<Self, E> {
        sizes.check()?;
        let both = sizes.lam != sizes.world;
        let mut lam = vec![0.0; sizes.batch * sizes.values(sizes.lam)];
        let mut world = vec![0.0; if both { sizes.batch * sizes.values(sizes.world) } else { 0 }];
        let mut worlds = world.chunks_exact_mut(sizes.values(sizes.world));
        let places: Vec<Place<'_>> = lam
            .chunks_exact_mut(sizes.values(sizes.lam))
            .map(|lam| Place { sizes, lam, world: worlds.next() })
            .collect();
        let taken: Vec<Result<Taken, E>> =
            places.into_par_iter().enumerate().map(|(at, mut place)| take(at, &mut place)).collect();
        let taken = taken.into_iter().collect::<Result<Vec<_>, E>>()?;
        Ok(Self { sizes, samples: samples.to_vec(), lam, world, taken })
    }

    /// The views as tensors.
    ///
    /// # Errors
    /// The device's.
    pub(crate) fn batch(self, device: &Device) -> Result<Batch, Error> {
        let Sizes { batch, frames, lam, world, .. } = self.sizes;
        let lam_view = Tensor::from_vec(self.lam, (batch, frames, 3, lam, lam), device)?;
        let world_view = match self.world.is_empty() {
            true => lam_view.clone(),
            false => Tensor::from_vec(self.world, (batch, frames, 3, world, world), device)?,
        };
        let action_dim = self.taken.first().map_or(0, |first| first.action_dim);
        let alike = self.taken.iter().all(|taken| taken.action_dim == action_dim);
        let actions = match alike && action_dim > 0 && frames > 1 {
            true => {
                let values = self.taken.iter().flat_map(|taken| &taken.actions).copied().collect();
                Some(Tensor::from_vec(values, (batch, frames - 1, action_dim), device)?)
            }
            false => None,
        };
        let clips = self.taken.iter().filter_map(|taken| taken.clip).collect();
        let keys = self.taken.iter().filter_map(|taken| taken.key).collect();
        Ok(Batch { lam_view, world_view, actions, samples: self.samples, clips, keys })
    }
}
