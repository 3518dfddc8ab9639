//! How many samples of a block each share gets.

use crate::{Error, Share};

/// Samples in which every share has its exact number. Large, so that 1 % is 655 samples and not 1 of 100; small, so that
/// a run of a few hundred steps already sees the mixture that was asked for.
pub(crate) const BLOCK: u64 = 1 << 16;

/// Shares that a source may have. A share has at least one sample in each block, so there is no room for many more.
const MOST: usize = 4096;

/// The samples of each share in a block; together [`BLOCK`].
///
/// The largest remainders of `weight * BLOCK` are rounded up. A share with clips has at least one sample, taken from the
/// shares that have most above their due; a share without clips has none.
///
/// # Errors
/// No clips, too many shares, a weight that is not positive and finite.
pub(crate) fn slots(shares: &[Share]) -> Result<Vec<u64>, Error> {
    if shares.len() > MOST {
        return Err(Error::setting("shares of the source", shares.len(), format!("at most {MOST}")));
    }
    for Share { name, weight, .. } in shares {
        if !(*weight > 0.0 && weight.is_finite()) {
            return Err(Error::setting(
                "weight of a share",
                format!("{weight} for `{name}`"),
                "a positive number",
            ));
        }
    }
    let drawn = || shares.iter().filter(|share| !share.clips.is_empty());
    // Divided by the largest one first: a sum of large weights must not become infinite.
    let most = drawn().map(|share| share.weight).fold(0.0, f64::max);
    let sum: f64 = drawn().map(|share| share.weight / most).sum();
    let due: Vec<f64> = shares
        .iter()
        .map(|share| if share.clips.is_empty() { 0.0 } else { share.weight / most / sum * BLOCK as f64 })
        .collect();
    let mut slots: Vec<u64> = shares
        .iter()
        .zip(&due)
        .map(|(share, due)| if share.clips.is_empty() { 0 } else { (due.floor() as u64).max(1) })
        .collect();
    let lacks = |slots: &[u64], at: usize| due[at] - slots[at] as f64;
    loop {
        let given: u64 = slots.iter().sum();
        let places = 0..slots.len();
        // Of equal ones the first, so that the answer depends on the shares alone.
        let by = |a: &usize, b: &usize| lacks(&slots, *a).total_cmp(&lacks(&slots, *b)).then(b.cmp(a));
        let change = match given.cmp(&BLOCK) {
            std::cmp::Ordering::Equal => return Ok(slots),
            std::cmp::Ordering::Less => places.filter(|&at| slots[at] > 0).max_by(by).map(|at| (at, 1)),
            std::cmp::Ordering::Greater => places.filter(|&at| slots[at] > 1).min_by(by).map(|at| (at, -1)),
        };
        match change {
            Some((at, by)) => slots[at] = slots[at].saturating_add_signed(by),
            None => return Err(Error::setting("clips of the source", 0, "1 to 2^32 - 1 in a share")),
        }
    }
}
