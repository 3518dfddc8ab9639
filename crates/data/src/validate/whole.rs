//! Checks of a data set as a whole: what was passed over, checksums, splits.

use super::{Finding, Severity, What};
use crate::Dataset;

/// A finding that concerns the whole data set.
pub(super) fn finding(severity: Severity, what: What, message: String) -> Finding {
    Finding { episode: None, name: String::new(), frames: None, camera: None, severity, what, message }
}

/// What no single episode shows.
pub(super) fn check(dataset: &dyn Dataset) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, why) in dataset.skipped() {
        found.push(finding(Severity::Error, What::Skipped, format!("{name} is left out: {why}")));
    }
    if let Err(error) = dataset.verify() {
        found.push(finding(Severity::Error, What::Checksum, super::words(&error)));
    }
    if dataset.cameras().is_empty() {
        let message = "no camera: there is nothing to learn from".to_owned();
        found.push(finding(Severity::Error, What::Pictures, message));
    }
    let mut splits: Vec<(String, Vec<usize>)> = Vec::new();
    for name in dataset.splits() {
        let episodes = match dataset.split(&name) {
            Ok(episodes) => episodes,
            Err(error) => {
                found.push(finding(Severity::Warning, What::Splits, super::words(&error)));
                continue;
            }
        };
        for (other, known) in &splits {
            let both = episodes.iter().filter(|episode| known.contains(episode)).count();
            // One split of the same episodes under two names is no leak.
            if both > 0 && episodes != *known {
                let message = format!("splits {other} and {name} share {both} episodes");
                found.push(finding(Severity::Warning, What::Splits, message));
            }
        }
        splits.push((name, episodes));
    }
    found
}
