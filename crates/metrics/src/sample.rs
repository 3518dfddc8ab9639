//! A bounded sample of a set that does not depend on who saw which clip, or when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::{Features, Result};

/// One clip of the sample.
#[derive(Clone, Debug)]
struct Clip {
    /// A hash of the index: the sample has the clips with the smallest.
    rank: u64,
    index: u64,
    features: Box<[f32]>,
}

/// The features of the `most` clips whose indices have the smallest hashes: a uniform sample of the indices, and that of
/// merged parts is that of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    most: usize,
    /// The largest hash on top.
    clips: BinaryHeap<Clip>,
}

impl Sample {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, clips: BinaryHeap::new() }
    }

    /// Clips in the sample.
    pub(crate) fn count(&self) -> usize {
        self.clips.len()
    }

    pub(crate) fn add(&mut self, index: u64, features: &[f32]) {
        let rank = mix(index);
        // Most clips of a large set end here, without a copy.
        if self.clips.len() < self.most || self.clips.peek().is_some_and(|last| rank <= last.rank) {
            self.insert(Clip { rank, index, features: features.into() });
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.clips.iter().for_each(|clip| self.add(clip.index, &clip.features));
    }

    /// The features of the sampled clips whose index `of` names, by rank.
    ///
    /// # Errors
    /// None for rows that were checked when they were added.
    pub(crate) fn features(&self, width: usize, of: impl Fn(u64) -> bool) -> Result<Features> {
        let mut clips: Vec<&Clip> = self.clips.iter().filter(|clip| of(clip.index)).collect();
        clips.sort();
        let values = clips.iter().flat_map(|clip| clip.features.iter().map(|value| f64::from(*value)));
        Features::new(width, values.collect())
    }

    fn insert(&mut self, clip: Clip) {
        self.clips.push(clip);
        if self.clips.len() > self.most {
            self.clips.pop();
        }
    }
}

/// The finaliser of SplitMix64: a bijection, so that different indices never tie.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Ord for Clip {
    /// By rank; clips that came twice under one index by their bits, so that the order of coming stays without effect.
    fn cmp(&self, other: &Self) -> Ordering {
        let bits = |clip: &Self| clip.features.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        self.rank.cmp(&other.rank).then_with(|| bits(self).cmp(&bits(other)))
    }
}

impl PartialOrd for Clip {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Clip {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Clip {}
