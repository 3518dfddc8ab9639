//! The output folder of a run and what lies where in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cola_coevolve::{ExperimentConfig, checkpoint};
use cola_files::{ClaimError, FolderLock, write_atomically};

/// What only a run leaves in its folder.
const TRACES: [&str; 8] = [
    "config.toml",
    "checkpoints",
    "log.jsonl",
    "pretrain",
    "tensorboard",
    "evaluation.json",
    "rollout.json",
    "report.json",
];

/// The folder of one run, held by this program alone until it ends, however it ends.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    /// None below the folder of a run that has one.
    _lock: Option<FolderLock>,
}

impl RunFolder {
    /// The folder of a new run: `wanted`, which must not hold a run yet, or the first free one of `out/<program>`,
    /// `out/<program>-2` and so on.
    ///
    /// # Errors
    /// A folder that holds a run, that another program works in, or that cannot be made or written to.
    pub fn create(wanted: Option<&Path>, program: &str) -> Result<Self> {
        let Some(root) = wanted else {
            for root in numbered(program) {
                match Self::claim(&root, program) {
                    Ok(folder) if folder.trace().is_none() => return Ok(folder),
                    Ok(_) | Err(ClaimError::Held { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            bail!("out: no free folder name left");
        };
        let folder = Self::claim(root, program)?;
        if let Some(trace) = folder.trace() {
            bail!(
                "{}: holds a run already ({trace} found, an empty or new folder expected); choose another --out, or \
                 continue a training run with --resume",
                root.display()
            );
        }
        Ok(folder)
    }

    /// The folder of a run to continue: `wanted`, or the last one of `out/<program>`, `out/<program>-2` and so on.
    ///
    /// # Errors
    /// A folder without a run, one that another program works in or that cannot be written to.
    pub fn open(wanted: Option<&Path>, program: &str) -> Result<Self> {
        let last = || numbered(program).take_while(|path| path.join("config.toml").exists()).last();
        let root =
            wanted.map(Path::to_path_buf).or_else(last).unwrap_or_else(|| format!("out/{program}").into());
        if !root.join("config.toml").is_file() {
            bail!(
                "{}: no run to resume here (config.toml is missing); start it without --resume, or name its folder \
                 with --out",
                root.display()
            );
        }
        Ok(Self::claim(&root, program)?)
    }

    /// Makes the folder and takes its lock.
    fn claim(root: &Path, program: &str) -> Result<Self, ClaimError> {
        let lock = FolderLock::claim(root, program)?;
        Ok(Self { root: root.to_path_buf(), _lock: Some(lock) })
    }

    fn trace(&self) -> Option<&'static str> {
        TRACES.into_iter().find(|name| self.root.join(name).exists())
    }

    /// Writes the configuration, which makes this the folder of a run.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_config(&self, config: &ExperimentConfig) -> Result<()> {
        let file = self.path("config.toml");
        write_atomically(&file, config.to_toml()?.as_bytes())
            .with_context(|| format!("{}: cannot be written", file.display()))
    }

    /// The stored configuration.
    ///
    /// # Errors
    /// A file that is damaged or of another version.
    pub fn config(&self) -> Result<ExperimentConfig> {
        Ok(ExperimentConfig::read(&self.path("config.toml"))?)
    }

    /// A file or folder of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path("checkpoints")
    }

    /// Whether there is a complete checkpoint.
    pub fn has_checkpoint(&self) -> bool {
        !checkpoint::list(&self.checkpoints()).is_empty()
    }

    /// The run that makes the generator, below this one.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn pretrain(&self) -> Result<Self> {
        let root = self.path("pretrain");
        std::fs::create_dir_all(&root)
            .with_context(|| format!("{}: cannot make the folder", root.display()))?;
        Ok(Self { root, _lock: None })
    }
}

/// `out/<program>`, `out/<program>-2` and so on.
fn numbered(program: &str) -> impl Iterator<Item = PathBuf> {
    std::iter::once(format!("out/{program}"))
        .chain((2..10_000).map(move |n| format!("out/{program}-{n}")))
        .map(PathBuf::from)
}

impl std::fmt::Display for RunFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.root.display().fmt(f)
    }
}
