//! JSON Lines: one value a line.

use std::io::BufReader;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{Error, regular};

/// Reads at most `most` values of `file`.
pub(super) fn read<T: DeserializeOwned>(file: &Path, most: usize) -> Result<Vec<T>, Error> {
    let handle = regular::open(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
    let mut lines = Vec::new();
    for line in serde_json::Deserializer::from_reader(BufReader::new(handle)).into_iter() {
        if lines.len() == most {
            return Err(Error::Field {
                file: file.to_owned(),
                field: "number of lines".into(),
                found: format!("more than {most}"),
                expected: format!("at most {most}"),
                mend: "the metadata contradict each other, copy the meta folder again from the data set's source",
            });
        }
        lines.push(line.map_err(|source| Error::Json { file: file.to_owned(), source })?);
    }
    Ok(lines)
}
