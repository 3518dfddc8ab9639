//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::Error;
use crate::weights::read_bounded;

/// An index of more bytes is no model's.
const LARGEST: u64 = 64 << 20;

/// An index file's content.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Index {
    weight_map: Names,
}

impl Index {
    /// Reads and checks an index; the shards are not looked at.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Index`].
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        Self::parse(&read_bounded(file, LARGEST)?)
            .map_err(|reason| Error::Index { file: file.to_path_buf(), reason })
    }

    /// Parses an index; `Err` says what was found and what was expected.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("found {error}, expected an object with the field `weight_map`"))?;
        if index.weight_map.0.is_empty() {
            return Err("field `weight_map` is empty, expected a shard for each tensor".into());
        }
        match index.weight_map.0.iter().find(|(_, shard)| !is_plain(shard)) {
            None => Ok(index),
            Some((name, shard)) => Err(format!(
                "field `weight_map`: `{name}` is in {shard:?}, expected the plain name of a .safetensors file beside the index"
            )),
        }
    }

    /// Shards and the tensors that each should hold.
    pub(crate) fn shards(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, shard) in &self.weight_map.0 {
            shards.entry(shard).or_default().push(name);
        }
        shards
    }
}

/// Whether a name from a stranger's file stays in its folder.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    // Another system's separators are none here, but may be where the file goes next.
    plain && name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0'])
}

/// A map in which no name occurs twice; serde would keep the later one without a word.
#[derive(Debug)]
struct Names(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = BTreeMap::new();
                while let Some((name, shard)) = map.next_entry::<String, String>()? {
                    if let Some(other) = names.insert(name.clone(), shard) {
                        return Err(<A::Error as serde::de::Error>::custom(format_args!(
                            "`{name}` twice, first in {other:?}"
                        )));
                    }
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}
