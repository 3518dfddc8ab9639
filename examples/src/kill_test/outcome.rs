//! What a run ends with.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use cola_coevolve::checkpoint;

/// What training and evaluation leave beside the checkpoints.
const FILES: [&str; 2] = ["log.jsonl", "evaluation.json"];

/// The files of the newest checkpoint, the log and the evaluation, byte for byte.
#[derive(PartialEq, Eq)]
pub(crate) struct Outcome(BTreeMap<String, Vec<u8>>);

impl Outcome {
    /// Of a run that has ended.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let checkpoints = root.join("checkpoints");
        let newest = checkpoint::list(&checkpoints).pop();
        let newest = newest.with_context(|| format!("{}: no checkpoint", checkpoints.display()))?;
        let mut files = BTreeMap::new();
        let unreadable = |path: &Path| format!("{}: cannot be read", path.display());
        for entry in std::fs::read_dir(&newest).with_context(|| unreadable(&newest))? {
            let path = entry.with_context(|| unreadable(&newest))?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.insert(name, std::fs::read(&path).with_context(|| unreadable(&path))?);
        }
        for name in FILES {
            let path = root.join(name);
            files.insert(name.into(), std::fs::read(&path).with_context(|| unreadable(&path))?);
        }
        Ok(Self(files))
    }

    /// The files that are not those of another run.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let (here, there) = (&self.0, &other.0);
        let names = here.keys().chain(there.keys().filter(|name| !here.contains_key(*name)));
        names.filter(|name| here.get(*name) != there.get(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(files: &[(&str, &str)]) -> Outcome {
        Outcome(files.iter().map(|(name, content)| ((*name).into(), content.as_bytes().to_vec())).collect())
    }

    #[test]
    fn files_that_are_missing_added_or_changed_are_named() {
        let first = outcome(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let second = outcome(&[("a", "1"), ("b", "x"), ("d", "4")]);
        assert_eq!(first.differences(&second), ["b", "c", "d"]);
        assert_eq!(first.differences(&first), [""; 0]);
    }
}
