//! To and from TOML, and overrides from a command line.

use std::path::Path;

use super::ExperimentConfig;
use crate::Error;

impl ExperimentConfig {
    /// Reads a TOML file; every field must be there, unknown ones are refused.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] with line and field.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|source| Error::Io {
            path: file.to_path_buf(),
            doing: "reading",
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| Error::Config {
            origin: file.display().to_string(),
            reason: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
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
    /// [`Error::Config`] for a key that does not exist (it lists those that do), a value of the wrong type, or values
    /// that [`ExperimentConfig::check`] refuses.
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
        let mut tree = toml::Value::try_from(self).map_err(|error| fail(error.to_string()))?;
        let mut place = &mut tree;
        for part in key.split('.') {
            let table =
                place.as_table_mut().ok_or_else(|| fail(format!("`{key}` goes below a plain value")))?;
            if !table.contains_key(part) {
                let known: Vec<&str> = table.keys().map(String::as_str).collect();
                return Err(fail(format!(
                    "there is no key `{part}` in `{key}`; expected one of {}",
                    known.join(", ")
                )));
            }
            place = &mut table[part];
        }
        // A bare word is a string: --set plan=WARM400 needs no quotes.
        let value = format!("value = {text}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(text.to_string()));
        *place = match (&place, value) {
            (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
            (_, value) => value,
        };
        tree.try_into().map_err(|error| fail(error.to_string()))
    }
}
