//! Clips that could not be read, and how many of them are put up with.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};

use super::order::Drawn;
use crate::{Error, Share};

/// Messages that an [`Error::Broken`] quotes.
const QUOTED: usize = 3;

/// A clip that could not be read; another one of its share was drawn instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of its [share](Share).
    pub share: String,
    /// Its number among the share's clips, from 0.
    pub clip: usize,
    /// What was wrong, with all causes.
    pub message: String,
}

/// A broken clip as the thread that met it tells of it.
pub(crate) struct Broken {
    pub(crate) at: Drawn,
    message: String,
}

impl Broken {
    /// `None` if the error says nothing about the data: no other clip would fare better.
    pub(crate) fn new(at: Drawn, error: &Error) -> Option<Self> {
        if matches!(error, Error::Setting { .. } | Error::Tensor(_) | Error::Write { .. }) {
            return None;
        }
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            message = format!("{message}: {source}");
            cause = source.source();
        }
        Some(Self { at, message })
    }
}

/// Every broken clip that a loader has met, once.
pub(crate) struct Failures {
    budget: usize,
    /// Of each share: clip and message.
    found: Mutex<Vec<BTreeMap<usize, String>>>,
}

impl Failures {
    pub(crate) fn new(budget: usize, shares: usize) -> Self {
        Self { budget, found: Mutex::new(vec![BTreeMap::new(); shares]) }
    }

    pub(crate) fn list(&self, shares: &[Share]) -> Vec<Failure> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let of_share = shares.iter().zip(&*found).flat_map(|(share, clips)| {
            let failure = |(clip, message): (&usize, &String)| Failure {
                share: share.name.clone(),
                clip: *clip,
                message: message.clone(),
            };
            clips.iter().map(failure)
        });
        of_share.collect()
    }

    /// Takes note of a broken clip.
    ///
    /// # Errors
    /// [`Error::Broken`] if its share now has more than the budget, or if it was the sample's `last` chance.
    pub(crate) fn record(&self, broken: &Broken, last: bool, shares: &[Share]) -> Result<(), Error> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let clips = &mut found[broken.at.share];
        clips.entry(broken.at.clip).or_insert_with(|| broken.message.clone());
        if clips.len() <= self.budget && !last {
            return Ok(());
        }
        let messages = clips.iter().take(QUOTED).map(|(clip, message)| format!("clip {clip}: {message}"));
        Err(Error::Broken {
            share: shares[broken.at.share].name.clone(),
            found: clips.len(),
            budget: self.budget,
            messages: messages.collect(),
        })
    }
}
