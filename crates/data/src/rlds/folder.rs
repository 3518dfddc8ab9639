//! A version's folder: its shards and splits.

use std::path::{Path, PathBuf};

use crate::Error;

/// One TFRecord file, `<dataset>-<split>.tfrecord-00000-of-00512`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shard {
    pub(super) split: String,
    pub(super) number: usize,
    /// Shards of the split.
    of: usize,
    dataset: String,
    pub(super) file: PathBuf,
}

/// The shards of one data set in one version, none missing.
#[derive(Debug)]
pub(super) struct Folder {
    /// The version's folder.
    pub(super) path: PathBuf,
    /// The data set's name.
    pub(super) dataset: String,
    /// By split, then by number.
    pub(super) shards: Vec<Shard>,
}

impl Folder {
    /// Finds the shards in `root`, or else in the newest version below it.
    ///
    /// # Errors
    /// A folder that cannot be listed or has no shards, shards of several data sets, shards that are missing.
    pub(super) fn find(root: &Path) -> Result<Self, Error> {
        if !root.is_dir() {
            return Err(Error::MissingFolder { path: root.to_owned() });
        }
        let mut found = (root.to_owned(), shards(root)?);
        if found.1.is_empty() {
            let versions = list(root)?.into_iter().filter_map(|path| Some((version(&path)?, path)));
            let newest = versions.filter(|(_, path)| path.is_dir()).max();
            if let Some((_, path)) = newest {
                let shards = shards(&path)?;
                found = (path, shards);
            }
        }
        let (path, shards) = found;
        let Some(dataset) = shards.first().map(|shard| shard.dataset.clone()) else {
            return Err(Error::MissingFile {
                file: path,
                expected: "shards named <dataset>-<split>.tfrecord-00000-of-00001",
                mend: "check --data: it names the folder of one version, or the one above it",
            });
        };
        let folder = Self { path, dataset, shards };
        folder.check()?;
        Ok(folder)
    }

    /// Refuses a mixture of data sets and a split with gaps, of which only a part would be learned from.
    fn check(&self) -> Result<(), Error> {
        for group in self.shards.chunk_by(|a, b| a.split == b.split) {
            for (number, shard) in group.iter().enumerate() {
                if shard.dataset != self.dataset || shard.of != group[0].of {
                    return Err(Error::Field {
                        file: shard.file.clone(),
                        field: "name".into(),
                        found: format!("shards of {} in {}", shard.dataset, shard.of),
                        expected: format!("shards of {} in {}, as beside it", self.dataset, group[0].of),
                        mend: "keep one data set in a folder",
                    });
                }
                if shard.number != number {
                    return Err(shard.missing(number));
                }
            }
            match group {
                [.., last] if group.len() != last.of => return Err(last.missing(group.len())),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Shard {
    fn parse(file: &Path) -> Option<Self> {
        let (name, place) = file.file_name()?.to_str()?.split_once(".tfrecord-")?;
        let (dataset, split) = name.rsplit_once('-')?;
        let (number, of) = place.split_once("-of-")?;
        let digits = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        if dataset.is_empty() || split.is_empty() || !digits(number) || !digits(of) {
            return None;
        }
        Some(Self {
            split: split.to_owned(),
            number: number.parse().ok()?,
            of: of.parse().ok()?,
            dataset: dataset.to_owned(),
            file: file.to_owned(),
        })
    }

    fn missing(&self, number: usize) -> Error {
        let name = format!("{}-{}.tfrecord-{number:05}-of-{:05}", self.dataset, self.split, self.of);
        Error::MissingFile {
            file: self.file.with_file_name(name),
            expected: "a shard that the others count",
            mend: "the data set is incomplete: copy the shard, or rename those at hand to 00000-of-N and so on",
        }
    }
}

fn shards(folder: &Path) -> Result<Vec<Shard>, Error> {
    let mut shards: Vec<Shard> = list(folder)?.iter().filter_map(|file| Shard::parse(file)).collect();
    shards.sort();
    Ok(shards)
}

/// `1.0.0` as numbers.
fn version(folder: &Path) -> Option<[u64; 3]> {
    let mut parts = folder.file_name()?.to_str()?.split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|source| Error::Read { file: folder.to_owned(), source })
}
