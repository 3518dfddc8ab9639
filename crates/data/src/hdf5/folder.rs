//! One group: what it holds, each read once. A path looked up from the root reads all groups on the way again.

use hdf5_pure::Group;

use super::{Archive, Array};
use crate::Error;

/// A group that is there.
pub(crate) struct Folder<'a> {
    pub(super) archive: &'a Archive,
    pub(super) path: String,
    pub(super) group: Group,
}

impl<'a> Folder<'a> {
    /// The groups in it with their names.
    pub(crate) fn folders(&self) -> Result<Vec<(String, Self)>, Error> {
        let found = self.group.iter_groups().map_err(|source| self.archive.error(&self.path, source))?;
        let folder = |(name, group): (String, Group)| {
            let path = self.within(&name);
            (name, Self { archive: self.archive, path, group })
        };
        Ok(found.map(folder).collect())
    }

    /// The datasets in it with their names.
    pub(crate) fn arrays(&self) -> Result<Vec<(String, Array<'a>)>, Error> {
        let found = self.group.iter_datasets().map_err(|source| self.archive.error(&self.path, source))?;
        found
            .map(|(name, set)| Ok((name.clone(), Array::new(self.archive, self.within(&name), set)?)))
            .collect()
    }

    /// The text in an attribute; `None` if it is not there, or is no text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let refuse = |source| self.archive.error(&self.path, source);
        let values = self.group.attrs().map_err(refuse)?;
        if let Some(value) = values.get(name) {
            return Ok(value.as_str().map(str::to_owned));
        }
        // The reader leaves out what it cannot decode; that must not look like an attribute that is not there.
        let types = self.group.attr_datatypes().map_err(refuse)?;
        match types.contains_key(name) {
            false => Ok(None),
            true => {
                let attribute = format!("`{}`, attribute {name}", self.path);
                Err(self.archive.field(&attribute, "unreadable", "a text"))
            }
        }
    }

    /// Something about this group that cannot be right.
    pub(crate) fn field(&self, found: impl ToString, expected: impl ToString) -> Error {
        self.archive.field(&format!("`{}`", self.path), found, expected)
    }

    fn within(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}
