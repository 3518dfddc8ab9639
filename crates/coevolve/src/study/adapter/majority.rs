//! The adapter that answers everything with the same action: what accuracy is worth nothing.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::study::StudyError;
use crate::study::adapter::report::Accuracy;

/// The most frequent codes of a train split; the lower code among equally frequent ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Majority {
    /// At each position alone.
    pub positions: Vec<u32>,
    /// The most frequent whole action, which may be another combination.
    pub joint: Vec<u32>,
}

impl Majority {
    /// Of codes `(M, n)` out of `entries`.
    ///
    /// # Errors
    /// [`StudyError::FewTransitions`] without rows, [`StudyError::Mismatch`] for a code that the codebook does not have
    /// or actions without codes.
    pub fn of(codes: &Tensor, entries: usize) -> Result<Self, Error> {
        let rows = codes.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        let positions = codes.dim(1)?;
        let unknown = rows.iter().flatten().find(|code| **code as usize >= entries);
        if unknown.is_some() || positions == 0 {
            let mismatch = StudyError::Mismatch {
                what: "codes",
                found: unknown.map_or("none in an action".into(), |code| format!("code {code}")),
                expected: format!("codes below {entries}, the codebook's size"),
            };
            return Err(mismatch.into());
        }
        let joint = most_frequent(rows.iter().cloned());
        let Some(joint) = joint else { return Err(StudyError::FewTransitions { found: 0 }.into()) };
        let column = |position: usize| most_frequent(rows.iter().map(|row| row[position]));
        Ok(Self { positions: (0..positions).filter_map(column).collect(), joint })
    }

    /// How often this answer is right for held-out codes `(M, n)`: each position with its own most frequent code, whole
    /// actions with the most frequent whole action.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for another number of positions.
    pub fn accuracy(&self, codes: &Tensor) -> Result<Accuracy, Error> {
        let same = |answer: &[u32]| -> Result<Accuracy, Error> {
            let answer = Tensor::new(answer, codes.device())?.unsqueeze(0)?;
            Accuracy::of(&answer.repeat((codes.dim(0)?, 1))?, codes)
        };
        Ok(Accuracy { joint: same(&self.joint)?.joint, ..same(&self.positions)? })
    }
}

/// The lowest among equally frequent values; `None` of nothing.
fn most_frequent<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, u64> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(value, _)| value)
}
