//! A published `config.json`.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::weights::read_bounded;
use crate::{Error, Result};

/// A configuration of more bytes is none.
const LARGEST: u64 = 4 << 20;

/// Reads `config.json` of a folder, or the one beside a file, into a struct of the published fields, and lists the fields that the struct does not
/// have, as paths (`vae.scaling_factor`): what other libraries store there is no error, but may be worth a look.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Config {
///     hidden_size: usize,
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// std::fs::write(folder.join("config.json"), r#"{"hidden_size": 1152, "architectures": ["STDiT3"]}"#)?;
/// let (config, unknown) = cola_weights::read_config::<Config>(folder)?;
/// assert_eq!((config.hidden_size, unknown), (1152, vec!["architectures".to_string()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`]; [`Error::Config`] for text that is no JSON, a field that is absent, and a value of another type: it
/// names the field, what was found and what was expected.
pub fn read_config<T: DeserializeOwned>(folder: impl AsRef<Path>) -> Result<(T, Vec<String>)> {
    let path = folder.as_ref();
    let beside = path.parent().filter(|_| path.is_file());
    let file = beside.unwrap_or(path).join("config.json");
    let text = read_bounded(&file, LARGEST)?;
    let wrong = |field: String, error: serde_json::Error| Error::Config {
        file: file.clone(),
        field,
        reason: error.to_string(),
    };
    let mut json = serde_json::Deserializer::from_slice(&text);
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let config = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    let config = config.map_err(|error| wrong(track.path().to_string(), error))?;
    json.end().map_err(|error| wrong(".".into(), error))?;
    Ok((config, unknown))
}
