//! The dataset of a command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cola_data::{Camera, Dataset, Format, OpenOptions};
use cola_report::Progress;

use crate::dataset::args::DatasetArgs;
use crate::sources::robodesk;

/// A bar for less than this only flickers.
const PATIENCE: Duration = Duration::from_secs(2);

/// An opened dataset and the part of it that is meant.
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// The dataset.
    pub dataset: Arc<dyn Dataset>,
    /// Numbers of the episodes, ascending.
    pub episodes: Vec<usize>,
    /// The cameras.
    pub cameras: Vec<Camera>,
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// A path that holds no dataset, damaged metadata, a split or camera that is not there, no episodes at all.
    pub fn open(args: &DatasetArgs) -> Result<Self> {
        let path = args.path.clone().unwrap_or_else(robodesk);
        let options = OpenOptions {
            format: args.format,
            rate: args.rate,
            manifest: args.manifest.clone(),
            action: args.action.clone(),
        };
        let dataset = cola_data::open(&path, &options)?;
        let format = dataset.format();
        if let (Some(rate), Format::LeRobot | Format::Videos | Format::Shards) = (args.rate, format) {
            println!("--rate {rate} is ignored: a {format} dataset tells its rate itself");
        }
        let episodes = match &args.split {
            Some(split) => dataset.split(split)?,
            None => (0..dataset.episodes().len()).collect(),
        };
        if episodes.is_empty() {
            bail!("{}: a {} dataset without episodes; check the path", path.display(), format);
        }
        let cameras = match &args.camera {
            Some(key) => vec![dataset.camera(Some(key))?.clone()],
            None => dataset.cameras().to_vec(),
        };
        Ok(Self { path, dataset, episodes, cameras })
    }

    /// The name of its folder or file.
    pub fn name(&self) -> String {
        let whole = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Frames of the episodes meant.
    pub fn frames(&self) -> usize {
        self.episodes.iter().map(|&episode| self.dataset.episodes()[episode].frames).sum()
    }
}

/// A bar that shows up where work takes longer than two seconds.
pub struct Patience {
    name: String,
    unit: &'static str,
    since: Instant,
    bar: Option<Progress>,
}

impl Patience {
    /// Work that is counted in `unit`.
    pub fn new(name: &str, unit: &'static str) -> Self {
        Self { name: name.into(), unit, since: Instant::now(), bar: None }
    }

    /// So much is done.
    pub fn tick(&mut self, done: usize, total: usize) {
        if self.bar.is_none() && self.since.elapsed() >= PATIENCE {
            self.bar = Some(Progress::start(&self.name, total as u64, 0));
        }
        if let Some(bar) = &mut self.bar {
            bar.tick(done as u64, self.unit);
        }
    }

    /// The work is done.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish(self.unit);
        }
    }
}
