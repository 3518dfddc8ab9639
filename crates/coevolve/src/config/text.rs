//! To and from TOML, and overrides from a command line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::ExperimentConfig;
use super::nearest::unknown;
use super::tree::{WHOLE, below, keys, overlay, tree};
use crate::Error;

/// The key with which a file names the preset that fills in what it does not state.
const PRESET: &str = "preset";
/// Missing keys that a message lists by name.
const LISTED: usize = 6;

/// A configuration of more bytes is none: the parser takes some fifty times as many.
const LARGEST: u64 = 1 << 20;

/// The text of a small file.
fn text_of(file: &Path) -> Result<String, Error> {
    let io = |source| Error::Io { path: file.to_path_buf(), doing: "reading", source };
    let mut text = String::new();
    File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_string(&mut text)).map_err(io)?;
    if text.len() as u64 > LARGEST {
        let reason = format!("it has more than {LARGEST} bytes; expected the configuration of a run");
        return Err(Error::Config { origin: file.display().to_string(), reason });
    }
    Ok(text)
}

impl ExperimentConfig {
    /// Reads a TOML file, see [`ExperimentConfig::from_toml`]. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Error::Io`], those of [`ExperimentConfig::from_toml`], values that [`ExperimentConfig::check`] refuses.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let config = Self::from_toml(&text_of(file)?, &file.display().to_string())?;
        let config = config.with_paths_from(file.parent().unwrap_or(Path::new("")));
        config.check().map_err(|error| match error {
            Error::Config { reason, .. } => Error::Config { origin: file.display().to_string(), reason },
            other => other,
        })?;
        Ok(config)
    }

    /// Of a TOML text. It states every value, or names a preset that fills in the others: `preset = "tiny"` at its top.
    /// A preset's cut-out of the frames belongs to its own pictures: with another `data.path`, `data.region` is the whole
    /// frame unless it is stated. `origin` is what messages call the text.
    ///
    /// # Errors
    /// [`Error::Config`] with the line: text that is no TOML, keys that do not exist (with the nearest that does), keys
    /// that are missing, values of a wrong type. Whether values fit together is left to [`ExperimentConfig::check`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Config { origin: origin.to_owned(), reason };
        let spans = DeTable::parse(text).map_err(|error| fail(error.to_string()))?;
        let mut stated: Table = text.parse().map_err(|error: toml::de::Error| fail(error.to_string()))?;
        let known = tree(&Self::tiny())?;
        let mut found = Found { text, known: &known, lines: BTreeMap::new(), unknown: Vec::new() };
        found.walk("", spans.get_ref(), &known);
        if !found.unknown.is_empty() {
            return Err(fail(found.unknown.join("\n")));
        }
        let whole = match stated.remove(PRESET) {
            Some(Value::String(name)) => {
                let mut base = Self::preset(&name).map_err(|error| fail(error.to_string()))?;
                let data = stated.get("data").and_then(Value::as_table);
                let elsewhere = data.is_some_and(|data| {
                    let named = data.get("path").and_then(Value::as_str).is_some_and(|path| !path.is_empty());
                    named && !data.contains_key("region")
                });
                if elsewhere {
                    base.data.region = cola_data::Region::FULL;
                }
                let mut base = tree(&base)?;
                overlay(&mut base, stated);
                base
            }
            Some(other) => return Err(fail(format!("{PRESET} is {other}; expected a name, e.g. \"tiny\""))),
            None => {
                let missing = missing(&stated, &known);
                if !missing.is_empty() {
                    return Err(fail(missing));
                }
                stated
            }
        };
        serde_path_to_error::deserialize(Value::Table(whole)).map_err(|error| {
            let key = error.path().to_string();
            let line = found.line(&key).map_or_else(String::new, |line| format!("line {line}: "));
            fail(format!("{line}`{key}`: {}", error.inner().message()))
        })
    }

    /// The resolved configuration as TOML.
    ///
    /// # Errors
    /// None in practice: every field has a TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string_pretty(self)
            .map_err(|error| Error::Config { origin: "configuration".into(), reason: error.to_string() })
    }

    /// The configuration with one value replaced, e.g. `lam.commitment_weight=0.002` or `plan=WARM400`.
    ///
    /// # Errors
    /// As [`ExperimentConfig::with_all`].
    pub fn with(&self, assignment: &str) -> Result<Self, Error> {
        self.with_all(&[assignment])
    }

    /// The configuration with some values replaced, checked after the last one: values that only fit together can be
    /// set together.
    ///
    /// # Errors
    /// [`Error::Config`] for a key that does not exist (it names the nearest that does), a value of the wrong type, or
    /// values that [`ExperimentConfig::check`] refuses.
    pub fn with_all(&self, assignments: &[impl AsRef<str>]) -> Result<Self, Error> {
        let mut config = self.clone();
        for assignment in assignments {
            config = config.assign(assignment.as_ref())?;
        }
        config.check()?;
        Ok(config)
    }

    fn assign(&self, assignment: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Config { origin: format!("--set {assignment}"), reason };
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| fail("no `=` found; expected KEY=VALUE, e.g. data.batch=16".into()))?;
        let (key, text) = (key.trim(), text.trim());
        // A bare word is a string: --set plan=WARM400 needs no quotes.
        let value = format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(text.to_string()));
        let mut tree = tree(self)?;
        replace(&mut tree, key, value).map_err(fail)?;
        Value::Table(tree).try_into().map_err(|error: toml::de::Error| fail(error.message().to_owned()))
    }
}

/// Puts a value at a dotted key that must exist.
fn replace(tree: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let known = tree.clone();
    let (mut table, mut parent) = (tree, String::new());
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let here = below(&parent, part);
        if !table.contains_key(part) && !WHOLE.contains(&here.as_str()) {
            return Err(match WHOLE.contains(&parent.as_str()) {
                true => format!("`{parent}` is stated whole: --set '{parent}={{{part} = {value}}}'"),
                false => unknown(&known, &parent, part, key),
            });
        }
        if parts.peek().is_none() {
            let value = match (table.get(part), value) {
                (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(whole as f64),
                (_, value) => value,
            };
            table.insert(part.to_owned(), value);
            return Ok(());
        }
        table = match table.get_mut(part) {
            Some(Value::Table(inner)) => inner,
            _ => return Err(format!("`{key}` goes below `{here}`, which is a plain value")),
        };
        parent = here;
    }
    Ok(())
}

/// The keys that a file must state and does not, in words; empty if all are there.
fn missing(stated: &Table, known: &Table) -> String {
    let there = keys(stated);
    let mut absent = Vec::new();
    let mut passed: Vec<String> = Vec::new();
    for key in keys(known).into_iter().filter(|key| !there.contains(key) && !WHOLE.contains(&key.as_str())) {
        // A section that is not there at all stands for its keys, whether it may be left out or not.
        if passed.iter().any(|section| key.starts_with(section.as_str())) {
            continue;
        }
        passed.push(format!("{key}."));
        if required(known, &key) {
            absent.push(key);
        }
    }
    if absent.is_empty() {
        return String::new();
    }
    let more = absent.len().saturating_sub(LISTED);
    absent.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "these keys are missing: {}{more}; state them, or write {PRESET} = \"tiny\" at the top of the file: a preset ({}) \
         fills in what is not stated",
        absent.join(", "),
        ExperimentConfig::PRESETS.join(", ")
    )
}

/// Whether a configuration cannot be without a key.
fn required(known: &Table, key: &str) -> bool {
    let mut less = known.clone();
    let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
    let place = parent
        .split('.')
        .filter(|part| !part.is_empty())
        .try_fold(&mut less, |table, part| table.get_mut(part).and_then(Value::as_table_mut));
    if let Some(table) = place {
        table.remove(name);
    }
    Value::Table(less).try_into::<ExperimentConfig>().is_err()
}

/// What a file states: where, and whether it exists.
struct Found<'a> {
    text: &'a str,
    known: &'a Table,
    /// Lines of the known keys, counted from 1.
    lines: BTreeMap<String, usize>,
    /// What is wrong with the others.
    unknown: Vec<String>,
}

impl Found<'_> {
    fn walk(&mut self, parent: &str, stated: &DeTable<'_>, known: &Table) {
        for (name, value) in stated {
            let key = below(parent, name.get_ref());
            let line = 1 + self.text.bytes().take(name.span().start).filter(|byte| *byte == b'\n').count();
            if known.contains_key(&**name.get_ref()) || WHOLE.contains(&key.as_str()) || key == PRESET {
                if let (DeValue::Table(stated), Some(Value::Table(known)), false) =
                    (value.get_ref(), known.get(&**name.get_ref()), WHOLE.contains(&key.as_str()))
                {
                    self.walk(&key, stated, known);
                }
                self.lines.insert(key, line);
            } else {
                self.unknown
                    .push(format!("line {line}: {}", unknown(self.known, parent, name.get_ref(), &key)));
            }
        }
    }

    /// The line of a key, or of the section that holds it.
    fn line(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            match (self.lines.get(key), key.rfind(['.', '['])) {
                (Some(line), _) => return Some(*line),
                (None, Some(end)) => key = key.get(..end)?,
                (None, None) => return None,
            }
        }
    }
}
