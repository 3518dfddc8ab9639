//! Weighted groups of sources as one source.

mod config;
mod plan;
pub(crate) mod slots;

use std::ops::Range;
use std::sync::Arc;

pub use self::config::{GroupConfig, GroupWeights, MixtureConfig, Preset, SourceConfig};
pub use self::plan::{MixturePlan, PlanRow};

use crate::{Clip, ClipSource, Error, Share};

/// Sources that share a weight.
pub struct Group {
    /// Its name, e.g. `oxe`.
    pub name: String,
    /// How often it is drawn, beside the other groups' weights.
    pub weight: f64,
    /// What it holds; at least one.
    pub sources: Vec<Source>,
}

/// One source of a [`Group`].
pub struct Source {
    /// Its name in the group.
    pub name: String,
    /// How often it is drawn, beside the other sources of its group; `None`, then for all of the group, counts clips.
    pub weight: Option<f64>,
    /// Its clips.
    pub clips: Arc<dyn ClipSource>,
}

/// Several sources as one: their clips are numbered one source after the other, and a [`Loader`](crate::Loader) draws
/// each as often as its weight says.
///
/// Weights are fractions of the samples, not of the clips: a small source with a large weight is passed through many
/// times while a large one is not yet through its first epoch. [`plan`](Self::plan) tells how often.
///
/// The sources may have different picture sizes, which the loader's views make equal, and different actions: a batch of
/// clips with different action sizes has no actions.
pub struct Mixture {
    frames: usize,
    leaves: Vec<Leaf>,
}

/// A source at its place.
struct Leaf {
    group: String,
    name: String,
    clips: Arc<dyn ClipSource>,
    at: Range<usize>,
    /// Fraction of all samples.
    weight: f64,
}

impl Mixture {
    /// The sources of all groups.
    ///
    /// # Errors
    /// No group, a group without sources, a source without clips or with clips of another length, a name that is empty
    /// or there twice, weights that are not positive or are given for a part of a group only.
    pub fn new(groups: Vec<Group>) -> Result<Self, Error> {
        unique("name of a group", groups.iter().map(|group| group.name.as_str()))?;
        let fractions =
            normal("group weights", groups.iter().map(|group| (group.name.as_str(), group.weight)))?;
        let mut leaves: Vec<Leaf> = Vec::new();
        for (group, fraction) in groups.into_iter().zip(fractions) {
            unique("name of a source", group.sources.iter().map(|source| source.name.as_str()))?;
            let weights = group.weights()?;
            for (source, weight) in group.sources.into_iter().zip(weights) {
                let start = leaves.last().map_or(0, |leaf| leaf.at.end);
                let end = start.checked_add(source.clips.len()).ok_or_else(|| {
                    Error::setting("clips of the mixture", "more than a computer counts", "fewer")
                })?;
                leaves.push(Leaf {
                    group: group.name.clone(),
                    name: source.name,
                    clips: source.clips,
                    at: start..end,
                    weight: fraction * weight,
                });
            }
        }
        let frames = leaves.first().map_or(0, |leaf| leaf.clips.frames_per_clip());
        for leaf in &leaves {
            let found = leaf.clips.frames_per_clip();
            if found != frames {
                let expected = format!("{frames} as in `{}`", leaves[0].full_name());
                let found = format!("{found} in `{}`", leaf.full_name());
                return Err(Error::setting("frames of a clip", found, expected));
            }
        }
        Ok(Self { frames, leaves })
    }

    /// What so many samples take from each source.
    ///
    /// # Errors
    /// More sources than samples of a block can be shared out to.
    pub fn plan(&self, samples: u64) -> Result<MixturePlan, Error> {
        Ok(MixturePlan::new(&self.leaves, &slots::slots(&self.shares())?, samples))
    }
}

impl ClipSource for Mixture {
    fn len(&self) -> usize {
        self.leaves.last().map_or(0, |leaf| leaf.at.end)
    }

    fn frames_per_clip(&self) -> usize {
        self.frames
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        match self.leaves.get(self.leaves.partition_point(|leaf| leaf.at.end <= index)) {
            Some(leaf) => leaf.clips.clip(index - leaf.at.start),
            None => Err(Error::setting("clip index", index, format!("below {}", self.len()))),
        }
    }

    fn shares(&self) -> Vec<Share> {
        let share =
            |leaf: &Leaf| Share { name: leaf.full_name(), clips: leaf.at.clone(), weight: leaf.weight };
        self.leaves.iter().map(share).collect()
    }
}

impl Leaf {
    fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

impl Group {
    /// Each source's fraction of the group.
    fn weights(&self) -> Result<Vec<f64>, Error> {
        if let Some(empty) = self.sources.iter().find(|source| source.clips.is_empty()) {
            let found = format!("0 in `{}/{}`", self.name, empty.name);
            return Err(Error::setting("clips of a source", found, "at least 1"));
        }
        let given = self.sources.iter().map(|source| (source.name.as_str(), source.weight));
        let by_count = || {
            let counts = self.sources.iter().map(|source| (source.name.as_str(), source.clips.len() as f64));
            normal(&format!("group `{}`", self.name), counts)
        };
        in_group(&self.name, given)?.map_or_else(by_count, Ok)
    }
}

/// The given weights of a group's sources as fractions of 1, or `None` if none is given.
fn in_group<'a>(
    group: &str,
    weights: impl Iterator<Item = (&'a str, Option<f64>)>,
) -> Result<Option<Vec<f64>>, Error> {
    let (given, open): (Vec<_>, Vec<_>) = weights.partition(|(_, weight)| weight.is_some());
    if !given.is_empty() && !open.is_empty() {
        let found = format!("{} for the {} of group `{group}`", given.len(), given.len() + open.len());
        return Err(Error::setting("source weights", found, "one for each source, or none at all"));
    }
    let given: Vec<_> = given.into_iter().filter_map(|(name, weight)| Some((name, weight?))).collect();
    match given.is_empty() {
        true => Ok(None),
        false => normal(&format!("group `{group}`"), given.into_iter()).map(Some),
    }
}

/// Weights as fractions of 1.
fn normal<'a>(what: &str, weights: impl Iterator<Item = (&'a str, f64)>) -> Result<Vec<f64>, Error> {
    let mut found = Vec::new();
    for (name, weight) in weights {
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(Error::setting(
                "weight",
                format!("{weight} for `{name}` in {what}"),
                "a positive number",
            ));
        }
        found.push(weight);
    }
    // Divided by the largest one first: the sum of large weights must not become infinite.
    let most = found.iter().copied().fold(0.0, f64::max);
    let sum: f64 = found.iter().map(|weight| weight / most).sum();
    match found.is_empty() {
        true => Err(Error::setting("mixture", format!("no {what}"), "at least one")),
        false => Ok(found.into_iter().map(|weight| weight / most / sum).collect()),
    }
}

/// Refuses names that are empty or there twice.
fn unique<'a>(field: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut known = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() || !known.insert(name) {
            return Err(Error::setting(field, format!("`{name}`"), "names that are not empty and differ"));
        }
    }
    Ok(())
}
