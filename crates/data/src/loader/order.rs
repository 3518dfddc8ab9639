//! Which clip a sample is: a pure function of seed and sample number.

use std::sync::{Arc, Mutex, PoisonError};

use cola_random::stream;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::mixture::slots::{BLOCK, slots};
use crate::{ClipSource, Error, Share};

/// The order in which the shares of a source, and the clips of each share, are drawn.
///
/// Sample `g` lies in block `g / BLOCK`. In each block a share has a fixed number of slots, at places that are drawn for
/// each block. The `n`-th sample of a share, counted from the run's first, is element `n % len` of the permutation of
/// its epoch `n / len`.
pub(crate) struct Order {
    seed: u64,
    shares: Vec<Share>,
    /// Of each share in a block.
    slots: Vec<u64>,
    kept: Mutex<Kept>,
}

/// What was used last: drawing it anew for each batch would be slow. Nothing depends on it.
struct Kept {
    block: Option<(u64, Arc<[Slot]>)>,
    /// Epoch and permutation of each share.
    epochs: Vec<Option<(u64, Arc<[u32]>)>>,
}

/// A sample's place in its block.
#[derive(Clone, Copy)]
struct Slot {
    share: u16,
    /// Slots of the same share before it in the block.
    rank: u16,
}

/// A clip, by its place in its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) share: usize,
    pub(crate) clip: usize,
}

impl Order {
    /// # Errors
    /// No clips, a share with more than 2^32 - 1 of them or with clips that the source does not have, weights that are
    /// not positive.
    pub(crate) fn new(source: &dyn ClipSource, seed: u64) -> Result<Self, Error> {
        let shares = source.shares();
        for Share { clips, .. } in &shares {
            if clips.start > clips.end || clips.end > source.len() {
                let expected = format!("a part of 0..{}", source.len());
                return Err(Error::setting("clips of a share", format!("{clips:?}"), expected));
            }
            if u32::try_from(clips.len()).is_err() {
                return Err(Error::setting("clips of the source", clips.len(), "1 to 2^32 - 1 in a share"));
            }
        }
        let slots = slots(&shares)?;
        let kept = Mutex::new(Kept { block: None, epochs: vec![None; shares.len()] });
        Ok(Self { seed, shares, slots, kept })
    }

    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// Index in the source.
    pub(crate) fn index(&self, drawn: Drawn) -> usize {
        self.shares[drawn.share].clips.start + drawn.clip
    }

    /// The clips of these samples.
    pub(crate) fn draw(&self, samples: &[u64]) -> Vec<Drawn> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().map(|&sample| self.one(&mut kept, sample)).collect()
    }

    /// Another clip of the same share, for a sample whose own cannot be read.
    pub(crate) fn replacement(&self, share: usize, sample: u64, attempt: u64) -> Drawn {
        let clips = self.shares[share].clips.len();
        Drawn { share, clip: stream(self.seed, "replacement", attempt, sample).random_range(0..clips) }
    }

    fn one(&self, kept: &mut Kept, sample: u64) -> Drawn {
        let (share, place) = match self.shares.len() {
            1 => (0, sample),
            _ => {
                let Slot { share, rank } = self.block(kept, sample / BLOCK)[(sample % BLOCK) as usize];
                let share = usize::from(share);
                (share, sample / BLOCK * self.slots[share] + u64::from(rank))
            }
        };
        let clips = self.shares[share].clips.len() as u64;
        let epoch = self.epoch(kept, share, place / clips);
        Drawn { share, clip: epoch[(place % clips) as usize] as usize }
    }

    fn block(&self, kept: &mut Kept, number: u64) -> Arc<[Slot]> {
        if let Some((known, block)) = &kept.block
            && *known == number
        {
            return block.clone();
        }
        let shares = self.slots.iter().zip(0_u16..);
        let mut order: Vec<u16> =
            shares.flat_map(|(&slots, share)| std::iter::repeat_n(share, slots as usize)).collect();
        order.shuffle(&mut stream(self.seed, "mixture", number, 0));
        let mut ranks = vec![0_u16; self.slots.len()];
        let ranked = order.into_iter().map(|share| {
            let next = &mut ranks[usize::from(share)];
            let rank = *next;
            // Only a share that has the whole block reaches 2^16, after its last slot.
            *next = next.wrapping_add(1);
            Slot { share, rank }
        });
        let block: Arc<[Slot]> = ranked.collect();
        kept.block = Some((number, block.clone()));
        block
    }

    fn epoch(&self, kept: &mut Kept, share: usize, number: u64) -> Arc<[u32]> {
        if let Some((known, order)) = &kept.epochs[share]
            && *known == number
        {
            return order.clone();
        }
        // The old permutation first: two of a large share need not be in memory.
        kept.epochs[share] = None;
        let mut order: Vec<u32> = (0..self.shares[share].clips.len() as u32).collect();
        order.shuffle(&mut stream(self.seed, "order", number, share as u64));
        let order: Arc<[u32]> = order.into();
        kept.epochs[share] = Some((number, order.clone()));
        order
    }
}
