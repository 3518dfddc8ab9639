//! Pictures in the rows: features of type `image`.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::blobs::{Blob, Blobs, read_file};
use super::info::inside;
use super::rows::Place;
use super::table::Table;
use super::{LeRobot, Part};
use crate::collected::collected;
use crate::dataset::{Camera, Decoded, Stretch};
use crate::picture::{decode, most_bytes};
use crate::{Error, View, resize};

/// How the pictures of a camera are read.
pub(super) struct Images<'a> {
    pub(super) dataset: &'a LeRobot,
    pub(super) camera: &'a Camera,
    /// What is kept of every picture.
    pub(super) view: &'a View,
}

/// A frame that a file holds.
struct Wanted {
    at: Place,
    /// Its stretch in the request, and its place there.
    place: (usize, usize),
}

impl Images<'_> {
    /// Hands over all frames of the stretches, file after file and row after row.
    pub(super) fn read(
        &self,
        wanted: &[Stretch],
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let dataset = self.dataset;
        wanted.iter().try_for_each(|stretch| stretch.check(&dataset.episodes))?;
        let episodes: Vec<usize> = wanted.iter().map(|stretch| stretch.episode).collect();
        let known = dataset.known(&episodes)?;
        let mut files: BTreeMap<Part, Vec<Wanted>> = BTreeMap::new();
        for (number, (stretch, known)) in wanted.iter().zip(&known).enumerate() {
            let frames = stretch.frames.iter().enumerate();
            let frames =
                frames.map(|(place, &frame)| Wanted { at: known.places[frame], place: (number, place) });
            files.entry(dataset.table[stretch.episode].data).or_default().extend(frames);
        }
        for (part, mut wanted) in files {
            let table = dataset.data(part)?;
            wanted.sort_by_key(|wanted| wanted.at);
            for group in wanted.chunk_by(|a, b| a.at.group == b.at.group) {
                self.read_group(&table, group, each)?;
            }
        }
        Ok(())
    }

    /// Hands over frames of one row group, at least one.
    fn read_group(
        &self,
        table: &Table,
        wanted: &[Wanted],
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(first) = wanted.first() else { return Ok(()) };
        let mut blobs = Blobs::open(table, first.at.group as usize, &self.camera.key)?;
        for batch in wanted.chunks(4 * rayon::current_num_threads()) {
            let found = batch.iter().map(|wanted| Ok((wanted, blobs.get(wanted.at.row as usize)?)));
            let found = found.collect::<Result<Vec<_>, Error>>()?;
            let views = found
                .into_par_iter()
                .map(|(wanted, blob)| Ok((wanted.place, self.view(table, wanted.at, blob)?)));
            for ((stretch, place), rgb) in collected(views)? {
                each(Decoded { stretch, place, rgb })?;
            }
        }
        Ok(())
    }

    /// Decodes a picture and keeps the view of it.
    fn view(&self, table: &Table, at: Place, blob: Blob) -> Result<Vec<u8>, Error> {
        let size = self.camera.size.unwrap_or_default();
        let place = format!("column `{}`, row {} of row group {}", self.camera.key, at.row, at.group);
        let picture = match blob {
            Blob::Bytes(bytes) => {
                decode(bytes.data(), Some(size), || (table.file().to_owned(), place.clone()))?
            }
            Blob::Path(path) => {
                let file = inside(&self.dataset.root, &path).ok_or_else(|| Error::Field {
                    file: table.file().to_owned(),
                    field: place,
                    found: format!("{path:?}"),
                    expected: "a path inside the data set's folder".into(),
                    mend: "write the data set again with the pictures in its rows",
                })?;
                let bytes = read_file(&file, most_bytes(size))?;
                decode(&bytes, Some(size), || (file.clone(), "content".into()))?
            }
        };
        let &View { region, height, width } = self.view;
        Ok(resize(&picture, &region.pixels(size.0, size.1)?, height, width)?.rgb)
    }
}
