//! The output folder of a run and what lies where in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cola_coevolve::{ExperimentConfig, checkpoint};
use cola_files::write_atomically;

/// Paths of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// The folder of a new run: `wanted`, which must not hold a run yet, or the first free one of `out/<program>`,
    /// `out/<program>-2` and so on.
    ///
    /// # Errors
    /// A folder that holds a run, or that cannot be made.
    pub fn create(wanted: Option<&Path>, program: &str) -> Result<Self> {
        let root = match wanted {
            Some(root) => root.to_path_buf(),
            None => std::iter::once(format!("out/{program}"))
                .chain((2..).map(|n| format!("out/{program}-{n}")))
                .map(PathBuf::from)
                .find(|path| !path.join("config.toml").exists())
                .unwrap_or_default(),
        };
        if root.join("config.toml").exists() {
            bail!(
                "{}: holds a run already (config.toml found, an empty or new folder expected); continue it with \
                 --resume, or choose another --out",
                root.display()
            );
        }
        std::fs::create_dir_all(&root)
            .with_context(|| format!("{}: cannot make the output folder", root.display()))?;
        Ok(Self { root })
    }

    /// The folder of a run to continue: `wanted`, or the last one of `out/<program>`, `out/<program>-2` and so on.
    ///
    /// # Errors
    /// A folder without a run.
    pub fn open(wanted: Option<&Path>, program: &str) -> Result<Self> {
        let root = match wanted {
            Some(root) => root.to_path_buf(),
            None => std::iter::once(format!("out/{program}"))
                .chain((2..).map(|n| format!("out/{program}-{n}")))
                .map(PathBuf::from)
                .take_while(|path| path.join("config.toml").exists())
                .last()
                .unwrap_or_else(|| format!("out/{program}").into()),
        };
        if !root.join("config.toml").is_file() {
            bail!(
                "{}: no run to resume here (config.toml is missing); start it without --resume, or name its folder \
                 with --out",
                root.display()
            );
        }
        Ok(Self { root })
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
        Ok(Self { root })
    }
}

impl std::fmt::Display for RunFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.root.display().fmt(f)
    }
}
