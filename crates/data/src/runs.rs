//! Which frames of a data set clips are made of: stretches of episodes, less what is held out.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Exclusions};

/// Consecutive frames of one episode. Clips never cross the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the episode.
    pub episode: usize,
    /// Its frames, half-open.
    pub frames: Range<usize>,
}

impl Run {
    /// The whole episodes.
    ///
    /// # Errors
    /// An episode that the data set does not have.
    pub fn whole(dataset: &dyn Dataset, episodes: &[usize]) -> Result<Vec<Self>, Error> {
        let all = dataset.episodes();
        let run = |&episode: &usize| match all.get(episode) {
            Some(found) => Ok(Self { episode, frames: 0..found.frames }),
            None => Err(Error::setting("episode", episode, format!("below {}", all.len()))),
        };
        episodes.iter().map(run).collect()
    }

    /// What a list leaves of these runs.
    ///
    /// # Errors
    /// A list that names an episode otherwise than the data set does, or frames that it does not have: it was made for
    /// another one.
    pub fn without(
        runs: Vec<Self>,
        dataset: &dyn Dataset,
        exclusions: &Exclusions,
    ) -> Result<Vec<Self>, Error> {
        let all = dataset.episodes();
        let name = |episode: usize| all.get(episode).map(|found| found.name.as_str());
        if let Some(entry) = exclusions.episodes.iter().find(|entry| name(entry.episode) != Some(&entry.name))
        {
            let found = format!("episode {} called `{}`", entry.episode, entry.name);
            let expected =
                format!("`{}`, as in {}", name(entry.episode).unwrap_or("none"), dataset.root().display());
            return Err(Error::setting("exclusion list", found, expected));
        }
        for entry in &exclusions.episodes {
            let frames = all[entry.episode].frames;
            if let Some(past) = entry.frames.as_ref().filter(|named| named.end > frames) {
                let found = format!("frames {past:?} of episode {} called `{}`", entry.episode, entry.name);
                let expected = format!("frames below {frames}, as in {}", dataset.root().display());
                return Err(Error::setting("exclusion list", found, expected));
            }
        }
        let mut kept = Vec::with_capacity(runs.len());
        for Self { episode, frames } in runs {
            for part in exclusions.keep(episode, all[episode].frames) {
                let frames = part.start.max(frames.start)..part.end.min(frames.end);
                if !frames.is_empty() {
                    kept.push(Self { episode, frames });
                }
            }
        }
        Ok(kept)
    }
}

/// Names of splits that are never trained on.
const TESTED: [&str; 6] = ["valid", "val", "validation", "test", "testing", "eval"];

/// How a data set is divided into what is trained on and what is held out.
///
/// A data set that defines the held-out split itself is taken at its word. Of any other, each `every`-th of the episodes
/// that would be trained on is held out; of a data set with one episode, the last `1 / every` of its frames. Without a split
/// `train` that is all episodes but those of splits that are called `valid`, `val`, `validation`, `test`, `testing` or
/// `eval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// Name of the held-out split.
    pub split: String,
    /// One of so many episodes is held out, at least 2; 0 refuses data sets that do not define the split.
    pub every: usize,
}

/// A data set in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// What is trained on.
    pub train: Vec<Run>,
    /// What is held out.
    pub held_out: Vec<Run>,
    /// Whether the data set defines the parts itself.
    pub own: bool,
}

impl Holdout {
    /// Divides a data set.
    ///
    /// # Errors
    /// A split that is empty or malformed; a split that is not defined, where `every` is 0; `every` of 1; too few frames to
    /// hold any out.
    pub fn divide(&self, dataset: &dyn Dataset) -> Result<Division, Error> {
        let names = dataset.splits();
        let defined = |name: &str| names.iter().any(|found| found == name);
        if self.every == 0 || (defined(&self.split) && defined("train")) {
            let part = |name: &str| Run::whole(dataset, &dataset.split(name)?);
            return Ok(Division { train: part("train")?, held_out: part(&self.split)?, own: true });
        }
        let held_out = if defined(&self.split) { dataset.split(&self.split)? } else { Vec::new() };
        let base = match defined("train") {
            true => dataset.split("train")?,
            false => {
                // Whatever else is kept for testing stays out of the training, too.
                let mut kept = held_out.clone();
                for name in names.iter().filter(|name| TESTED.contains(&name.as_str())) {
                    kept.extend(dataset.split(name)?);
                }
                (0..dataset.episodes().len()).filter(|episode| !kept.contains(episode)).collect()
            }
        };
        let base = Run::whole(dataset, &base)?;
        if held_out.is_empty() {
            return self.divide_runs(base);
        }
        Ok(Division { train: base, held_out: Run::whole(dataset, &held_out)?, own: false })
    }

    /// Holds every so many of these runs out, or the last part of the only one.
    ///
    /// # Errors
    /// `every` below 2; too few frames to hold any out.
    pub fn divide_runs(&self, runs: Vec<Run>) -> Result<Division, Error> {
        if self.every < 2 {
            let expected = "at least 2: something has to be left to train on";
            return Err(Error::setting("every", self.every, expected));
        }
        let (train, held_out) = match runs.as_slice() {
            [only] => self.cut(only),
            _ => self.deal(runs),
        };
        if train.is_empty() || held_out.is_empty() {
            let found = format!("{} and {} episodes", train.len(), held_out.len());
            return Err(Error::setting("episodes to train on and to hold out", found, "at least 1 of each"));
        }
        Ok(Division { train, held_out, own: false })
    }

    /// Every so many runs one, and the last one if there are fewer.
    fn deal(&self, runs: Vec<Run>) -> (Vec<Run>, Vec<Run>) {
        let every = self.every.min(runs.len()).max(1);
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for (place, run) in runs.into_iter().enumerate() {
            if (place + 1) % every == 0 { held_out.push(run) } else { train.push(run) }
        }
        (train, held_out)
    }

    /// The last part of the frames.
    fn cut(&self, run: &Run) -> (Vec<Run>, Vec<Run>) {
        let Range { start, end } = run.frames;
        let kept = end - (end - start).div_ceil(self.every);
        let part = |frames| Run { episode: run.episode, frames };
        (vec![part(start..kept)], vec![part(kept..end)])
    }
}
