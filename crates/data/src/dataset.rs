//! What every format comes down to: numbered episodes, each with rows and pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::collected::collected;
use crate::{Error, Format, Frames, View};

/// One recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// What a person finds it by: `episode 12`, `demo_3`, a video's path inside the data set.
    pub name: String,
    /// Number of frames.
    pub frames: usize,
    /// Frames per second; `None` where neither the format nor the user tells it.
    pub rate: Option<f64>,
    /// What the robot was told, or what is seen; empty if nothing is known.
    pub texts: Vec<String>,
}

/// One camera of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Name in the data set, e.g. `observation.images.top`.
    pub key: String,
    /// Height and width of its pictures; `None` if they differ from episode to episode.
    pub size: Option<(usize, usize)>,
}

/// The numbers that belong to the frames of one episode.
///
/// Row `i` belongs to frame `i`, and its action leads from frame `i` to frame `i + 1`; the last action was chosen but
/// shows in no picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Seconds since the episode's start, one a frame.
    pub times: Vec<f64>,
    /// `(frames, A)`, row-major, in the data set's own units.
    pub actions: Vec<f32>,
    /// `A`; 0 where no actions are known.
    pub action_dim: usize,
    /// State of the robot, `(frames, S)`, row-major.
    pub states: Vec<f32>,
    /// `S`; 0 where no state is known.
    pub state_dim: usize,
}

impl Rows {
    /// Refuses rows that do not belong to an episode of so many frames.
    pub(crate) fn check(&self, dataset: &dyn Dataset, episode: usize) -> Result<(), Error> {
        let frames = dataset.episodes()[episode].frames;
        let (actions, states) = (frames.checked_mul(self.action_dim), frames.checked_mul(self.state_dim));
        let found = (self.times.len(), Some(self.actions.len()), Some(self.states.len()));
        if found == (frames, actions, states) {
            return Ok(());
        }
        Err(Error::Field {
            file: dataset.root().to_owned(),
            field: format!("rows of {}", dataset.episodes()[episode].name),
            found: format!("{} times, {} action values", self.times.len(), self.actions.len()),
            expected: format!("{frames} times, {} numbers to an action", self.action_dim),
            mend: "the data set contradicts itself; `dataset validate` lists what is wrong",
        })
    }
}

/// Frames of one episode that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the episode.
    pub episode: usize,
    /// Numbers of the frames, ascending; at least one.
    pub frames: Vec<usize>,
}

/// A picture that [`Dataset::read_many`] hands over.
pub struct Decoded {
    /// Place of its stretch in the request.
    pub stretch: usize,
    /// Place among the frames of the stretch.
    pub place: usize,
    /// `(height, width, 3)` of the view.
    pub rgb: Vec<u8>,
}

/// A data set as it lies on disk, whatever its format: metadata are read and checked, pictures and rows stay where they
/// are until they are asked for.
///
/// [`open`](crate::open) finds the format. Answers do not change while a data set is open, unless its files do.
pub trait Dataset: Send + Sync {
    /// The format.
    fn format(&self) -> Format;

    /// The folder or file that was opened.
    fn root(&self) -> &Path;

    /// All episodes, numbered from 0 in an order that depends on the data set alone.
    fn episodes(&self) -> &[Episode];

    /// All cameras in alphabetical order; at least one.
    fn cameras(&self) -> &[Camera];

    /// Names of the splits that the data set itself defines.
    fn splits(&self) -> Vec<String>;

    /// What was passed over at opening because it cannot be used: a name and the reason for each.
    fn skipped(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Compares the checksums that the format stores for whole files, if it stores any.
    ///
    /// # Errors
    /// The first file that is not what was written.
    fn verify(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The episodes of a split, ascending.
    ///
    /// # Errors
    /// A split that is not defined, is empty, or names episodes that are not there.
    fn split(&self, name: &str) -> Result<Vec<usize>, Error>;

    /// The rows of these episodes, one answer for each.
    ///
    /// # Errors
    /// An episode that is not there; files that are missing, damaged or contradict the metadata.
    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error>;

    /// Some frames of one episode, cut and resized.
    ///
    /// # Errors
    /// A camera, an episode or a frame that is not there; frames that are not ascending; files that are missing, damaged
    /// or contradict the metadata.
    fn read(&self, camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error>;

    /// The frames of many stretches, in any order. No frame may be asked for twice.
    ///
    /// # Errors
    /// As [`read`](Self::read), and whatever `each` returns.
    fn read_many(
        &self,
        camera: &str,
        wanted: &[Stretch],
        view: &View,
        each: &mut dyn FnMut(Decoded) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let at_once = 2 * rayon::current_num_threads();
        for (first, group) in wanted.chunks(at_once).enumerate() {
            let read = |stretch| self.read(camera, stretch, view);
            let found = collected(group.par_iter().map(read))?;
            for (within, frames) in found.into_iter().enumerate() {
                let stretch = first * at_once + within;
                for place in 0..frames.count {
                    each(Decoded { stretch, place, rgb: frames.frame(place).to_vec() })?;
                }
            }
        }
        Ok(())
    }

    /// The camera `wanted`, or the only one, or the alphabetically first.
    ///
    /// # Errors
    /// No such camera.
    fn camera(&self, wanted: Option<&str>) -> Result<&Camera, Error> {
        let mut cameras = self.cameras().iter();
        cameras.find(|camera| wanted.is_none_or(|wanted| wanted == camera.key)).ok_or_else(|| Error::Camera {
            file: self.root().to_owned(),
            wanted: wanted.map_or("at all".to_owned(), |key| format!("`{key}`")),
            found: self.cameras().iter().map(|camera| camera.key.clone()).collect(),
        })
    }
}

/// [`Dataset::read`] of a reader whose own way is to read many.
pub(crate) fn read_one(
    dataset: &dyn Dataset,
    camera: &str,
    stretch: &Stretch,
    view: &View,
) -> Result<Frames, Error> {
    view.check()?;
    stretch.check(dataset.episodes())?;
    let &View { height, width, .. } = view;
    let (count, picture) = (stretch.frames.len(), height * width * 3);
    let mut rgb = vec![0; count * picture];
    dataset.read_many(camera, std::slice::from_ref(stretch), view, &mut |decoded| {
        rgb[decoded.place * picture..(decoded.place + 1) * picture].copy_from_slice(&decoded.rgb);
        Ok(())
    })?;
    Ok(Frames { count, height, width, rgb })
}

/// Splits as lists of episodes, for formats that have them so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splits {
    /// Where they are defined, for messages.
    pub(crate) file: PathBuf,
    pub(crate) episodes: BTreeMap<String, Vec<usize>>,
}

impl Splits {
    pub(crate) fn names(&self) -> Vec<String> {
        self.episodes.keys().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Vec<usize>, Error> {
        match self.episodes.get(name) {
            None => {
                Err(Error::Split { file: self.file.clone(), wanted: name.to_owned(), found: self.names() })
            }
            Some(episodes) if episodes.is_empty() => Err(Error::EmptySplit {
                file: self.file.clone(),
                split: name.to_owned(),
                found: "no episode".into(),
            }),
            Some(episodes) => Ok(episodes.clone()),
        }
    }
}

impl Stretch {
    /// Refuses an episode or frames that `episodes` do not have, and frames that do not ascend.
    pub(crate) fn check(&self, episodes: &[Episode]) -> Result<(), Error> {
        let Some(episode) = episodes.get(self.episode) else {
            return Err(Error::setting("episode", self.episode, format!("below {}", episodes.len())));
        };
        let ascending = self.frames.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.frames.last().is_none_or(|last| *last >= episode.frames) {
            let expected = format!("ascending numbers below {}, at least one", episode.frames);
            return Err(Error::setting("frames", format!("{:?}", self.frames), expected));
        }
        Ok(())
    }
}
