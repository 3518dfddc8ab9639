//! Keys that do not exist, and the ones that were probably meant.

use strsim::jaro_winkler;
use toml::Table;

use super::tree::{below, keys, section};

/// Least likeness of a key that is offered; Jaro-Winkler, 1 for equal ones.
const ALIKE: f64 = 0.8;

/// What to say of `key`, whose part `name` does not exist below the section `parent`.
pub(super) fn unknown(known: &Table, parent: &str, name: &str, key: &str) -> String {
    let meant = nearest(known, key)
        .or_else(|| nearest(known, &below(parent, name)))
        .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    let place = if parent.is_empty() { "the top level" } else { parent };
    let there = section(known, parent)
        .map_or_else(String::new, |table| table.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    let end = if meant.is_empty() { "; " } else { " " };
    format!("there is no key `{key}`{meant}{end}{place} has {there}")
}

/// The known key most like a wrong one: as a whole, or by its last part, so that a forgotten section is found as well.
fn nearest(known: &Table, key: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |found: &str| {
        let (whole, part) = (jaro_winkler(key, found), jaro_winkler(&last(key), &last(found)));
        (whole.max(part), whole + part)
    };
    keys(known)
        .into_iter()
        .map(|found| (likeness(&found), found))
        .filter(|((most, _), _)| *most >= ALIKE)
        .max_by(|((_, a), _), ((_, b), _)| a.total_cmp(b))
        .map(|(_, found)| found)
}
