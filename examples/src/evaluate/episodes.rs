//! Episodes of datasets, read one by one.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cola_data::{Camera, Dataset, Episode, Frames, Region, Stretch, View};

use crate::evaluate::pair::{Listing, Name, Pair, Pairs, starts, video};

/// The clips of one split as a camera sees them.
pub struct Episodes {
    dataset: Arc<dyn Dataset>,
    camera: Camera,
    split: Vec<usize>,
    look: Look,
}

/// Height and width that frames are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Those of the region.
    Own,
    /// The region's, each side reduced to so many pixels where it has more.
    AtMost(usize),
    /// Height and width.
    Exactly(usize, usize),
}

/// How a dataset is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// Key of the video feature; the only one, or the alphabetically first, without it.
    pub camera: Option<String>,
    /// Part of every frame.
    pub region: Region,
    /// Size of a frame.
    pub sides: Sides,
    /// Frames of a clip.
    pub frames: usize,
    /// Step between two frames of a clip.
    pub stride: usize,
}

impl Episodes {
    /// Opens the metadata.
    ///
    /// # Errors
    /// A dataset, split or camera that is not there.
    pub fn open(dataset: Arc<dyn Dataset>, split: &str, look: Look) -> Result<Self> {
        let split = dataset.split(split)?;
        let camera = dataset.camera(look.camera.as_deref())?.clone();
        if look.frames == 0 || look.stride == 0 {
            bail!("--frames and the stride have to be at least 1");
        }
        Ok(Self { dataset, camera, split, look })
    }

    /// Every whole clip, one after the other; episodes that are too short are told.
    pub fn listing(&self) -> Listing {
        let Listing { mut names, mut broken } = Listing::default();
        for place in 0..self.split.len() {
            let (source, total) = (self.name(place), self.episode(place).frames);
            let length = self.length();
            if total < length {
                let reason = format!("{total} frames, clips of {length} wanted; choose a smaller --frames");
                broken.push((source, reason));
                continue;
            }
            names.extend(starts(total, length).map(|start| Name { source: source.clone(), start, place }));
        }
        Listing { names, broken }
    }

    /// Episodes of the split.
    pub fn count(&self) -> usize {
        self.split.len()
    }

    /// Frames from the first of a clip to behind the last.
    fn length(&self) -> usize {
        (self.look.frames - 1).saturating_mul(self.look.stride).saturating_add(1)
    }

    fn episode(&self, place: usize) -> &Episode {
        &self.dataset.episodes()[self.split[place]]
    }

    fn name(&self, place: usize) -> String {
        self.episode(place).name.clone()
    }

    /// The clip of an episode, counted within the split, from a frame on.
    ///
    /// # Errors
    /// Files that are damaged or contradict the metadata.
    pub fn read(&self, place: usize, start: usize) -> Result<Frames> {
        let Look { region, sides, frames, stride, .. } = self.look;
        let own = || {
            let Some((rows, columns)) = self.camera.size else {
                bail!("{}: pictures of many sizes; choose one with --size", self.dataset.root().display());
            };
            let crop = region.pixels(rows, columns)?;
            Ok([crop.height, crop.width].map(|side| side as usize))
        };
        let [height, width] = match sides {
            Sides::Own => own()?,
            Sides::AtMost(most) => own()?.map(|side| side.min(most)),
            Sides::Exactly(height, width) => [height, width],
        };
        let stretch = Stretch {
            episode: self.split[place],
            frames: (0..frames).map(|frame| start + frame * stride).collect(),
        };
        Ok(self.dataset.read(&self.camera.key, &stretch, &View { region, height, width })?)
    }
}

/// Two datasets whose episodes belong together one by one.
pub struct Datasets {
    both: [Episodes; 2],
    listing: Listing,
}

impl Datasets {
    /// Pairs episodes by their place in the split.
    ///
    /// # Errors
    /// Splits of different lengths.
    pub fn new(real: Episodes, generated: Episodes) -> Result<Self> {
        let [a, b] = [real.count(), generated.count()];
        if a != b {
            bail!(
                "the split has {a} episodes in the first dataset and {b} in the second; the n-th of one is compared \
                   with the n-th of the other"
            );
        }
        for place in 0..a {
            let [first, second] = [&real, &generated].map(|episodes| episodes.episode(place).frames);
            if first != second {
                bail!(
                    "{} has {first} frames, its counterpart {second}; cut both to the same length",
                    real.name(place)
                );
            }
        }
        let listing = real.listing();
        Ok(Self { both: [real, generated], listing })
    }
}

impl Pairs for Datasets {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&mut self, index: usize) -> Result<Pair> {
        let name = &self.listing.names[index];
        let [real, generated] = &self.both;
        Ok(Pair {
            real: video(&real.read(name.place, name.start)?).context("the first dataset")?,
            generated: video(&generated.read(name.place, name.start)?).context("the second dataset")?,
        })
    }
}
