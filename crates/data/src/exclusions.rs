//! What of a data set is left out: whole episodes, or runs of their frames.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

/// What the file calls itself.
const FORMAT: &str = "cola-exclusions";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Largest file that is read, bytes. A line for each of a million episodes is smaller.
const LARGEST: u64 = 256 << 20;

const MEND: &str = "write the list again with `dataset validate --repair`, or correct the field by hand";

/// A list of what is left out, kept beside the data set and never written into it.
///
/// ```json
/// { "format": "cola-exclusions", "version": 1, "episodes": [
///   { "episode": 3, "name": "episode 3", "frames": [120, 140], "reason": "black pictures" },
///   { "episode": 7, "name": "episode 7", "frames": null, "reason": "the video cannot be decoded" } ] }
/// ```
///
/// ```
/// use cola_data::{Exclusion, Exclusions};
///
/// let black = Exclusion { episode: 3, name: "demo_3".into(), frames: Some(4..6), reason: "black".into() };
/// let list = Exclusions { episodes: vec![black] };
/// assert_eq!(list.keep(3, 10), [0..4, 6..10]);
/// assert_eq!(list.keep(4, 10), [0..10]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusions {
    /// What is left out, in any order; entries may overlap.
    pub episodes: Vec<Exclusion>,
}

/// A part of one episode that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Number of the episode.
    pub episode: usize,
    /// Its name, for people; the number decides.
    pub name: String,
    /// Its frames, at least one; `None` is the whole episode.
    #[serde(serialize_with = "write_frames", deserialize_with = "read_frames")]
    pub frames: Option<Range<usize>>,
    /// Why.
    pub reason: String,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u32,
    episodes: Vec<Exclusion>,
}

impl Exclusions {
    /// Reads a list.
    ///
    /// # Errors
    /// A file that is missing, unreadable, larger than 256 MiB, no such list, or of another version.
    pub fn read(file: &Path) -> Result<Self, Error> {
        if !file.is_file() {
            let mend = "check the path, or make one with `dataset validate --repair`";
            return Err(Error::MissingFile { file: file.to_owned(), expected: "a list of exclusions", mend });
        }
        let read = |source| Error::Read { file: file.to_owned(), source };
        let wrong = |field: &str, found: String, expected: String| Error::Field {
            file: file.to_owned(),
            field: field.to_owned(),
            found,
            expected,
            mend: MEND,
        };
        let bytes = std::fs::metadata(file).map_err(read)?.len();
        if bytes > LARGEST {
            return Err(wrong("size of the file", format!("{bytes} bytes"), format!("at most {LARGEST}")));
        }
        let text = std::fs::read(file).map_err(read)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|complaint| {
            wrong("the JSON", complaint.to_string(), "`format`, `version` and `episodes`".into())
        })?;
        if (stored.format.as_str(), stored.version) != (FORMAT, VERSION) {
            let found = format!("{}, {}", stored.format, stored.version);
            return Err(wrong("`format`, `version`", found, format!("{FORMAT}, {VERSION}")));
        }
        Ok(Self { episodes: stored.episodes })
    }

    /// Writes the list, whole or not at all.
    ///
    /// # Errors
    /// A folder that is missing or cannot be written to.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let stored = Stored { format: FORMAT.into(), version: VERSION, episodes: self.episodes.clone() };
        let write = |source| Error::Write { file: file.to_owned(), source };
        let text = serde_json::to_vec_pretty(&stored).map_err(|refusal| write(refusal.into()))?;
        cola_files::write_atomically(file, &text).map_err(write)
    }

    /// Runs of frames that remain of an episode of `frames` frames, ascending; none if all of it is left out.
    pub fn keep(&self, episode: usize, frames: usize) -> Vec<Range<usize>> {
        let mine = self.episodes.iter().filter(|entry| entry.episode == episode);
        let mut out: Vec<Range<usize>> =
            mine.map(|entry| entry.frames.clone().unwrap_or(0..frames)).collect();
        out.sort_by_key(|run| run.start);
        let (mut kept, mut from) = (Vec::new(), 0);
        for run in out {
            kept.push(from..run.start.min(frames));
            from = from.max(run.end);
        }
        kept.push(from..frames);
        kept.retain(|run| !run.is_empty());
        kept
    }
}

/// Frames as `[first, one behind the last]`.
pub(crate) fn write_frames<S: Serializer>(frames: &Option<Range<usize>>, to: S) -> Result<S::Ok, S::Error> {
    frames.as_ref().map(|frames| [frames.start, frames.end]).serialize(to)
}

/// As [`write_frames`] writes them; at least one frame.
pub(crate) fn read_frames<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Range<usize>>, D::Error> {
    match Option::<[usize; 2]>::deserialize(from)? {
        None => Ok(None),
        Some([start, end]) if start < end => Ok(Some(start..end)),
        Some([start, end]) => Err(de::Error::custom(format!(
            "frames [{start}, {end}], expected the first frame and the one behind the last, or null"
        ))),
    }
}
