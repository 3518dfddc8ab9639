//! The configuration as a tree of TOML values: its keys, and in which of them two configurations differ.

use toml::{Table, Value};

use super::ExperimentConfig;
use crate::Error;

/// Tables whose keys depend on a choice among kinds, or that may be absent: no configuration lists them all, so they are
/// stated whole, and their own types refuse what they do not know.
pub(super) const WHOLE: [&str; 2] = ["dit.text", "flow.time.shift"];

/// A value that two configurations have otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its dotted key.
    pub(crate) key: String,
    /// The value of the first, as TOML; `-` where it has none.
    pub(crate) own: String,
    /// That of the second.
    pub(crate) other: String,
}

/// All values of a configuration.
pub(super) fn tree(config: &ExperimentConfig) -> Result<Table, Error> {
    Table::try_from(config)
        .map_err(|error| Error::Config { origin: "configuration".into(), reason: error.to_string() })
}

/// The dotted key of `name` below `parent`, which is empty for the top level.
pub(super) fn below(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// The table at a dotted key; `table` itself for the empty one.
pub(super) fn section<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    key.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(table, |table, part| table.get(part).and_then(Value::as_table))
}

/// Every key of a table, dotted, those of sections included.
pub(super) fn keys(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    gather("", table, &mut found);
    found.extend(WHOLE.map(String::from).into_iter().filter(|key| !found.contains(key)).collect::<Vec<_>>());
    found
}

fn gather(parent: &str, table: &Table, into: &mut Vec<String>) {
    for (name, value) in table {
        let key = below(parent, name);
        into.push(key.clone());
        if let (Value::Table(inner), false) = (value, WHOLE.contains(&key.as_str())) {
            gather(&key, inner, into);
        }
    }
}

/// Puts the values of `stated` over those of `base`.
pub(super) fn overlay(base: &mut Table, stated: Table) {
    overlay_below("", base, stated);
}

fn overlay_below(parent: &str, base: &mut Table, stated: Table) {
    for (name, value) in stated {
        let key = below(parent, &name);
        match (base.get_mut(&name), value) {
            (Some(Value::Table(base)), Value::Table(stated)) if !WHOLE.contains(&key.as_str()) => {
                overlay_below(&key, base, stated);
            }
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

/// Every plain value that `own` and `other` have otherwise; keys are given below `parent`.
pub(super) fn differences(
    parent: &str,
    own: Option<&Value>,
    other: Option<&Value>,
    into: &mut Vec<Difference>,
) {
    match (own, other) {
        (Some(Value::Table(own)), Some(Value::Table(other))) if !WHOLE.contains(&parent) => {
            for name in own.keys().chain(other.keys().filter(|name| !own.contains_key(*name))) {
                differences(&below(parent, name), own.get(name), other.get(name), into);
            }
        }
        (own, other) if own != other => {
            let text = |value: Option<&Value>| value.map_or_else(|| "-".into(), Value::to_string);
            into.push(Difference { key: parent.to_owned(), own: text(own), other: text(other) });
        }
        _ => {}
    }
}

impl ExperimentConfig {
    /// Every value in which this configuration differs from another.
    pub(crate) fn differences(&self, other: &Self) -> Result<Vec<Difference>, Error> {
        let mut found = Vec::new();
        let (own, other) = (Value::Table(tree(self)?), Value::Table(tree(other)?));
        differences("", Some(&own), Some(&other), &mut found);
        Ok(found)
    }
}
