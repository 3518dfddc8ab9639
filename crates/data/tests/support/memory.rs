//! A data set in memory: whatever a test wants to be true of it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;

use cola_data::{Camera, Dataset, Episode, Error, Format, Frames, Rows, Stretch, View};

/// Episodes whose frame `k` of episode `e` is grey of brightness `16 e + k`, of whatever size is asked for.
pub(crate) struct Memory {
    pub(crate) episodes: Vec<Episode>,
    pub(crate) rows: Vec<Rows>,
    pub(crate) splits: BTreeMap<String, Vec<usize>>,
    pub(crate) cameras: Vec<Camera>,
}

impl Memory {
    /// Episodes of these lengths at this rate; the action of frame `k` of episode `e` is `(e, k)`.
    pub(crate) fn new(lengths: &[usize], rate: f64) -> Self {
        let episode = |(number, &frames): (usize, &usize)| Episode {
            name: format!("episode {number}"),
            frames,
            rate: Some(rate),
            texts: Vec::new(),
        };
        let rows = |(number, &frames): (usize, &usize)| Rows {
            times: (0..frames).map(|frame| frame as f64 / rate).collect(),
            actions: (0..frames).flat_map(|frame| [number as f32, frame as f32]).collect(),
            action_dim: 2,
            ..Rows::default()
        };
        Self {
            episodes: lengths.iter().enumerate().map(episode).collect(),
            rows: lengths.iter().enumerate().map(rows).collect(),
            splits: BTreeMap::new(),
            cameras: vec![Camera { key: "camera".into(), size: Some((4, 6)) }],
        }
    }

    /// The same without actions.
    pub(crate) fn silent(mut self) -> Self {
        for rows in &mut self.rows {
            (rows.actions, rows.action_dim) = (Vec::new(), 0);
        }
        self
    }
}

impl Dataset for Memory {
    fn format(&self) -> Format {
        Format::LeRobot
    }

    fn root(&self) -> &Path {
        Path::new("memory")
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

    fn split(&self, name: &str) -> Result<Vec<usize>, Error> {
        Ok(self.splits[name].clone())
    }

    fn rows(&self, episodes: &[usize]) -> Result<Vec<Rows>, Error> {
        Ok(episodes.iter().map(|&episode| self.rows[episode].clone()).collect())
    }

    fn read(&self, _: &str, stretch: &Stretch, view: &View) -> Result<Frames, Error> {
        assert!(stretch.frames.windows(2).all(|pair| pair[0] < pair[1]), "frames ascend");
        let size = view.height * view.width * 3;
        let grey = |&frame: &usize| std::iter::repeat_n((16 * stretch.episode + frame) as u8, size);
        let rgb = stretch.frames.iter().flat_map(grey).collect();
        Ok(Frames { count: stretch.frames.len(), height: view.height, width: view.width, rgb })
    }
}
