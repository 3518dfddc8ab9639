//! Small files of metadata, read whole.

use std::io::Read;
use std::path::Path;

use crate::{Error, regular};

/// The bytes of `file`, at most `most`: a file that grew by mistake must not fill the memory.
///
/// # Errors
/// A file that cannot be read or is larger.
pub(crate) fn read(file: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = regular::open(file).and_then(|source| source.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|source| Error::Read { file: file.to_owned(), source })?;
    if bytes.len() as u64 > most {
        return Err(Error::Field {
            file: file.to_owned(),
            field: "size".into(),
            found: format!("more than {most} bytes"),
            expected: format!("at most {most}"),
            mend: "restore the file from the data set's source",
        });
    }
    Ok(bytes)
}
