//! Runs under one name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::compare::history::History;

/// Arguments of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Folders of runs. `NAME=DIR,DIR,...` makes several runs one group, which is drawn as its mean and its range.
    #[arg(required = true, value_name = "[NAME=]DIR[,DIR...]")]
    pub runs: Vec<String>,
    /// Names of the groups, in their order, instead of those of their folders.
    #[arg(long, value_delimiter = ',')]
    pub labels: Vec<String>,
    /// The picture; tables with the same name and the endings .csv and .md are written beside it.
    #[arg(long, value_name = "FILE", default_value = "out/compare.png")]
    pub out: PathBuf,
}

/// One run or several, drawn in one color.
#[derive(Debug)]
pub struct Group {
    /// Its name in legends and tables.
    pub name: String,
    /// Its runs, at least one.
    pub runs: Vec<History>,
}

impl Group {
    /// All groups of a command line, read.
    ///
    /// # Errors
    /// A folder without a run, a damaged log, two groups of one name, more or fewer labels than groups.
    pub fn all(args: &CompareArgs) -> Result<Vec<Self>> {
        let CompareArgs { runs, labels, .. } = args;
        if !labels.is_empty() && labels.len() != runs.len() {
            bail!("--labels has {} names, expected {}: one for each group of runs", labels.len(), runs.len());
        }
        let mut groups: Vec<Self> = Vec::new();
        for (index, text) in runs.iter().enumerate() {
            let (name, folders) = split(text)?;
            let name = labels.get(index).cloned().unwrap_or(name);
            if groups.iter().any(|group| group.name == name) {
                bail!("two groups are called `{name}`; give each a name with --labels or NAME=DIR");
            }
            let runs = folders.iter().map(|folder| History::read(folder)).collect::<Result<_>>()?;
            groups.push(Self { name, runs });
        }
        Ok(groups)
    }
}

/// Name and folders of `[NAME=]DIR[,DIR...]`. What is a folder as a whole is taken for one, whatever its letters.
fn split(text: &str) -> Result<(String, Vec<PathBuf>)> {
    let own = |path: &Path| {
        let name =
            std::path::absolute(path).ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        name.unwrap_or_else(|| path.display().to_string())
    };
    let whole = Path::new(text);
    if whole.is_dir() {
        return Ok((own(whole), vec![whole.to_path_buf()]));
    }
    let (name, list) = match text.split_once('=') {
        Some((name, list)) => (Some(name), list),
        None => (None, text),
    };
    let folders: Vec<PathBuf> = list.split(',').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
    let first =
        folders.first().with_context(|| format!("`{text}` names no folder; write DIR or NAME=DIR,DIR"))?;
    Ok((name.map_or_else(|| own(first), str::to_owned), folders))
}
