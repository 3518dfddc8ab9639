//! `owner/name@revision:subfolder`.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Longest part of an id; the hub's own bound is 96 for both together.
const LONGEST: usize = 200;

/// A checkpoint on the hub.
///
/// ```
/// use cola_weights::Reference;
///
/// let reference: Reference = "owner/pipeline@v1.2:vae".parse()?;
/// assert_eq!((reference.repository.as_str(), reference.revision.as_str()), ("owner/pipeline", "v1.2"));
/// assert_eq!(reference.subfolder.as_deref(), Some("vae"));
/// assert_eq!("owner/model".parse::<Reference>()?.revision, "main");
/// # Ok::<(), cola_weights::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Owner and name.
    pub repository: String,
    /// A branch, tag or commit; `main` where none is given.
    pub revision: String,
    /// The folder of the checkpoint within the repository.
    pub subfolder: Option<String>,
}

impl FromStr for Reference {
    type Err = Error;

    /// # Errors
    /// [`Error::Reference`]: also for words that are rather a path. What is accepted is safe in a path and in a URL.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Reference { text: text.to_string(), reason };
        let (rest, subfolder) = match text.split_once(':') {
            Some((rest, folder)) => (rest, Some(folder)),
            None => (text, None),
        };
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| is_word(part)) {
            return Err(wrong("no such path here, and no owner/name".into()));
        }
        if [".safetensors", ".json"].iter().any(|ending| repository.ends_with(ending))
            || crate::weights::is_pickle(repository)
        {
            return Err(wrong("no such file here".into()));
        }
        if !is_path(revision) {
            return Err(wrong(format!("{revision:?} is no revision")));
        }
        if let Some(folder) = subfolder.filter(|folder| !is_path(folder)) {
            return Err(wrong(format!("{folder:?} is no subfolder")));
        }
        Ok(Self {
            repository: repository.to_string(),
            revision: revision.to_string(),
            subfolder: subfolder.map(str::to_string),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.subfolder.as_ref().map_or(Ok(()), |folder| write!(f, ":{folder}"))
    }
}

/// Words between slashes.
fn is_path(text: &str) -> bool {
    text.split('/').all(is_word)
}

/// Letters, digits, dashes, dots and underscores; neither hidden nor a way up.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && !text.starts_with(['.', '-'])
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
}
