//! A data set in memory, to be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cola_data::{Camera, Dataset, Episode, Error, Format, Frames, Rows, Stretch, View};

/// Rows and pictures of 8 x 8, one camera `camera`, ten frames per second.
pub(crate) struct Fake {
    pub(crate) episodes: Vec<Episode>,
    pub(crate) rows: Vec<Rows>,
    /// `(8, 8, 3)` for each frame of each episode.
    pub(crate) pictures: Vec<Vec<Vec<u8>>>,
    /// Frames that cannot be decoded: episode and number.
    pub(crate) broken: BTreeSet<(usize, usize)>,
    /// Episodes whose rows cannot be read.
    pub(crate) lost: BTreeSet<usize>,
    /// A split without episodes cannot be read.
    pub(crate) splits: BTreeMap<String, Vec<usize>>,
    pub(crate) skipped: Vec<(String, String)>,
    /// Whether checksums differ.
    pub(crate) altered: bool,
    cameras: Vec<Camera>,
}

impl Fake {
    /// Episodes of so many frames with nothing wrong.
    pub(crate) fn new(lengths: &[usize]) -> Self {
        let episode = |(number, &frames): (usize, &usize)| Episode {
            name: format!("demo_{number}"),
            frames,
            rate: Some(10.0),
            texts: Vec::new(),
        };
        let rows = |&frames: &usize| Rows {
            times: (0..frames).map(|frame| frame as f64 / 10.0).collect(),
            actions: (0..2 * frames).map(|value| value as f32).collect(),
            action_dim: 2,
            states: vec![0.5; 3 * frames],
            state_dim: 3,
        };
        let picture = |frame: usize| (0..8 * 8 * 3).map(|at| ((at * 7 + frame * 13) % 200) as u8).collect();
        let pictures = |&frames: &usize| (0..frames).map(picture).collect();
        Self {
            episodes: lengths.iter().enumerate().map(episode).collect(),
            rows: lengths.iter().map(rows).collect(),
            pictures: lengths.iter().map(pictures).collect(),
            broken: BTreeSet::new(),
            lost: BTreeSet::new(),
            splits: BTreeMap::new(),
            skipped: Vec::new(),
            altered: false,
            cameras: vec![Camera { key: "camera".into(), size: Some((8, 8)) }],
        }
    }

    fn damaged(&self, field: String) -> Error {
        Error::Field {
            file: "fake".into(),
            field,
            found: "damage".into(),
            expected: "none".into(),
            mend: "use another one",
        }
    }
}

impl Dataset for Fake {
    fn format(&self) -> Format {
        Format::Shards
    }

    fn root(&self) -> &Path {
        Path::new("fake")
    }

    fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    fn splits(&self) -> Vec<String> {
        self.splits.keys().cloned().collect()
    }

    fn skipped(&self) -> Vec<(String, String)> {
        self.skipped.clone()
    }

    fn verify(&self) -> Result<(), Error> {
        if self.altered { Err(self.damaged("checksum".into())) } else { Ok(()) }
    }

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        match self.splits.get(name) {
            Some(episodes) if !episodes.is_empty() => Ok(episodes.clone()),
            _ => Err(self.damaged(format!("split {name}"))),
        }
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        let rows = |&episode: &usize| match self.lost.contains(&episode) {
            true => Err(self.damaged(format!("rows of episode {episode}"))),
            false => Ok(self.rows[episode].clone()),
        };
        episodes.iter().map(rows).collect()
    }

    fn read(&self, _camera: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        assert_eq!((view.height, view.width), (8, 8));
        let mut rgb = Vec::new();
        for &frame in &stretch.frames {
            if self.broken.contains(&(stretch.episode, frame)) {
                return Err(self.damaged(format!("frame {frame}")));
            }
            rgb.extend_from_slice(&self.pictures[stretch.episode][frame]);
        }
        Ok(Frames { count: stretch.frames.len(), height: 8, width: 8, rgb })
    }
}
