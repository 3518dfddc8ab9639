//! The episodes of a shard: where each lies, how many steps it has, what the robot was told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::example::{self, Fault};
use super::layout::FLAGS;
use super::record::{self, MEND};
use super::tfrecord::{self, Span};
use crate::{Error, regular};

/// Most steps of an episode: 38 hours at 30 a second.
const FRAMES: usize = 1 << 22;

/// Longest instruction, bytes.
const TEXT: u64 = 1 << 16;

/// One record and what was learned of it without reading it whole.
pub(super) struct Found {
    pub(super) span: Span,
    pub(super) frames: usize,
    pub(super) texts: Vec<String>,
}

/// Walks over the records of `file`: some kilobytes of each are read, its pictures are stepped over. The checksums of
/// the lengths are compared, those of the data are not.
pub(super) fn shard(file: &Path, texts: &[String]) -> Result<Vec<Found>, Error> {
    let failed = |source| Error::Read { file: file.to_owned(), source };
    let handle = regular::open(file).map_err(failed)?;
    let size = handle.metadata().map_err(failed)?.len();
    // Small: what is between two heads is mostly pictures, and a buffer of them would be read for nothing.
    let mut source = BufReader::with_capacity(1024, handle);
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(span) = tfrecord::next(file, &mut source, at, size)? {
        found.push(look(file, &mut source, span, texts)?);
        at = span.end();
    }
    Ok(found)
}

fn look(file: &Path, source: &mut BufReader<File>, span: Span, texts: &[String]) -> Result<Found, Error> {
    let fault = |name: &str, fault| record::told(file, span, 0, name, fault);
    let fields = example::index(source, span.data()..span.data() + span.length).map_err(|f| fault("", f))?;
    let frames = frames(file, source, span, &fields)?;
    let mut told = Vec::new();
    for name in texts {
        let Some(range) = fields.get(name) else { continue };
        let text = example::first_blob(source, range.clone(), TEXT).map_err(|f| fault(name, f))?;
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned();
        if !text.is_empty() && !told.contains(&text) {
            told.push(text);
        }
    }
    Ok(Found { span, frames, texts: told })
}

/// Number of steps: the values of the first flag that is there.
fn frames(
    file: &Path,
    source: &mut BufReader<File>,
    span: Span,
    fields: &BTreeMap<String, Range<u64>>,
) -> Result<usize, Error> {
    let wrong = |name: &str, found: String, expected: String| {
        let field = record::place(span, name);
        Error::Field { file: file.to_owned(), field, found, expected, mend: MEND }
    };
    let Some((name, range)) = FLAGS.iter().find_map(|name| Some((*name, fields.get(*name)?))) else {
        let names: Vec<&String> = fields.keys().take(32).collect();
        return Err(wrong("", format!("{names:?}"), format!("one of {FLAGS:?}, which count the steps")));
    };
    let length = range.end - range.start;
    // A flag that lies is a number of up to 10 bytes; a true or false one has 1.
    if length > 10 * FRAMES as u64 {
        return Err(wrong(name, format!("{length} bytes"), format!("at most {FRAMES} steps")));
    }
    let mut feature = vec![0; length as usize];
    let mut fill = || source.seek(SeekFrom::Start(range.start)).and_then(|_| source.read_exact(&mut feature));
    let counted = fill().map_err(Fault::from).and_then(|()| Ok(example::values(&feature, FRAMES)?.len()));
    counted.map_err(|fault| record::told(file, span, range.start, name, fault))
}
