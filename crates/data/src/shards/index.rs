//! `shards.json`: what a folder of shards holds, written last.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, document};

/// Where it lies in the folder.
pub(crate) const FILE: &str = "shards.json";

/// The version that is written and read.
pub(super) const VERSION: u32 = 1;

/// Largest `shards.json` that is read: some 100 bytes an episode.
const LARGEST: u64 = 256 << 20;

/// Most frames of an episode, and most numbers in a row.
pub(super) const FRAMES: usize = 1 << 22;
pub(super) const WIDEST: usize = 1 << 16;

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub(super) version: u32,
    /// Numbers in an action; 0 if there are no actions.
    pub(super) action_dim: usize,
    /// Numbers in a state; 0 if there are no states.
    pub(super) state_dim: usize,
    pub(super) cameras: Vec<CameraEntry>,
    pub(super) shards: Vec<ShardEntry>,
    pub(super) episodes: Vec<EpisodeEntry>,
    /// Name -> episodes, ascending.
    pub(super) splits: BTreeMap<String, Vec<usize>>,
}

/// One camera; they stand in alphabetical order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraEntry {
    pub(super) key: String,
    /// Height and width; `null` if they differ from episode to episode.
    pub(super) size: Option<(usize, usize)>,
}

/// One safetensors file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardEntry {
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Of the whole file, eight hexadecimal digits.
    pub(super) crc32c: String,
}

/// One episode.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpisodeEntry {
    pub(super) name: String,
    /// Number of the file.
    pub(super) shard: usize,
    pub(super) frames: usize,
    /// Frames per second.
    pub(super) rate: Option<f64>,
    pub(super) texts: Vec<String>,
}

/// Name of a shard.
pub(super) fn shard_name(number: usize) -> String {
    format!("shard-{number:05}.safetensors")
}

impl Index {
    /// Reads and checks the file in `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let file = root.join(FILE);
        if !file.is_file() {
            return Err(Error::MissingFile {
                file,
                expected: "the list of the shards, which is written last",
                mend: "check --data; if there are shards beside it, writing them did not end: write them again",
            });
        }
        let wrong = |field: &str, found: String, expected: String| Error::Field {
            file: file.clone(),
            field: field.to_owned(),
            found,
            expected,
            mend: "restore the file, or write the shards again",
        };
        let index: Self = serde_json::from_slice(&document::read(&file, LARGEST)?)
            .map_err(|source| wrong("content", source.to_string(), "what `ShardWriter` writes".into()))?;
        if index.version != VERSION {
            return Err(wrong("version", index.version.to_string(), VERSION.to_string()));
        }
        index.contradiction().map_or(Ok(index), |(field, found, expected)| Err(wrong(field, found, expected)))
    }

    /// The first value that makes no sense: field, value, what would.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String, String)> {
        for (field, dim) in [("action_dim", self.action_dim), ("state_dim", self.state_dim)] {
            if dim > WIDEST {
                return Some((field, dim.to_string(), format!("at most {WIDEST}")));
            }
        }
        let keys: Vec<&str> = self.cameras.iter().map(|camera| camera.key.as_str()).collect();
        let reserved = |key: &&str| ["", "actions", "states", "times"].contains(key);
        if keys.is_empty() || keys.iter().any(reserved) || keys.windows(2).any(|pair| pair[0] >= pair[1]) {
            let expected = "names in alphabetical order, at least one, none `actions`, `states` or `times`";
            return Some(("cameras", format!("{keys:?}"), expected.into()));
        }
        let mut names = self.shards.iter().map(|shard| shard.file.as_str()).enumerate();
        if let Some((number, name)) = names.find(|(number, name)| *name != shard_name(*number)) {
            return Some(("shards.file", format!("{name:?}"), shard_name(number)));
        }
        for (number, episode) in self.episodes.iter().enumerate() {
            let &EpisodeEntry { shard, frames, rate, .. } = episode;
            let rated = rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
            if shard >= self.shards.len() || !(1..=FRAMES).contains(&frames) || !rated {
                let found = format!("episode {number}: shard {shard}, {frames} frames, rate {rate:?}");
                let expected =
                    format!("a shard below {}, 1 to {FRAMES} frames, a positive rate", self.shards.len());
                return Some(("episodes", found, expected));
            }
        }
        let wrong = |episodes: &[usize]| {
            episodes.windows(2).any(|pair| pair[0] >= pair[1])
                || episodes.last().is_some_and(|last| *last >= self.episodes.len())
        };
        let split = self.splits.iter().find(|(_, episodes)| wrong(episodes))?;
        let expected = format!("ascending numbers below {}", self.episodes.len());
        Some(("splits", format!("{}: {:?}", split.0, split.1.iter().take(16).collect::<Vec<_>>()), expected))
    }
}
