//! What can stop a run.

use std::path::PathBuf;

use crate::config::Fixed;
use crate::divergence::Divergence;
use crate::health::Warning;
use crate::outlook::Refusal;

/// Why a run could not start, go on or be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file or override that is not understood.
    #[error("{origin}: {reason}")]
    Config {
        /// The file, or `--set KEY=VALUE`.
        origin: String,
        /// What was found, what was expected, and the mend.
        reason: String,
    },
    /// Values that a resumed run cannot change, see
    /// [`ExperimentConfig::check_resume`](crate::ExperimentConfig::check_resume).
    #[error(
        "after step {step}, a resumed run cannot change {}; leave {} as stored, or start a new run with --init-from and the \
         name of this one: its weights, new settings",
        listed(refused),
        if refused.len() == 1 { "it" } else { "them" }
    )]
    Fixed {
        /// Steps done.
        step: u64,
        /// The values.
        refused: Box<[Fixed]>,
    },
    /// A folder or file of a run that the system refused.
    #[error("{}: {doing} failed; check that it exists and may be read, or that its folder may be written and has room", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A checkpoint folder that another program works in, or that cannot be written to.
    #[error(transparent)]
    Claim(#[from] cola_files::ClaimError),
    /// A folder that holds no checkpoint.
    #[error("{}: no complete checkpoint here; start the run without --resume, or name the --out folder of an earlier one", folder.display())]
    NoCheckpoint {
        /// The folder.
        folder: PathBuf,
    },
    /// A checkpoint whose state does not say what it should.
    #[error("{}: field `{field}` is {found}, expected {expected}; {mend}", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// What it holds.
        found: String,
        /// What was expected.
        expected: String,
        /// What to do.
        mend: &'static str,
    },
    /// A resumed run whose dataset has another number of clips than before.
    #[error(
        "step {step}: the dataset has {found} training clips, the steps so far had {known}; put it back as it was (files, exclusion list, manifest), or start a new run with --init-from"
    )]
    Clips {
        /// Steps done.
        step: u64,
        /// Clips of the steps so far.
        known: usize,
        /// Clips that were found.
        found: usize,
    },
    /// A loss that is not a number: training cannot go on, earlier checkpoints are intact.
    #[error(
        "phase {}, step {}: the {} is {}, expected a finite number; the checkpoints before are intact and {dump}, but going on would end here again: start a new run with lower rates below phases.{key}.rates, e.g. --config OUT/config.toml --set phases.{key}.rates.{part}=1e-4, or leave such steps out with --resume --set divergence.policy=skip",
        divergence.phase, divergence.step, divergence.what, divergence.value
    )]
    Diverged {
        /// What was found where.
        divergence: Box<Divergence>,
        /// The phase's key in the configuration.
        key: &'static str,
        /// The key of a rate that matters in it.
        part: &'static str,
        /// Where the state before the step is kept, or why it is not.
        dump: String,
    },
    /// The run was asked to stop, see [`Run::stop_when`](crate::Run::stop_when); nothing is wrong.
    #[error("stopped after step {step} as asked; everything is saved in {}, --resume goes on", folder.display())]
    Stopped {
        /// Steps done.
        step: u64,
        /// The checkpoint.
        folder: PathBuf,
    },
    /// A collapsed codebook, in a run that was told to stop over it; the checkpoint holds the last step.
    #[error(
        "phase {phase}, step {step}: {warning}; {advice}; the checkpoint {} holds this step, --resume without --stop-on-collapse goes on", folder.display()
    )]
    Collapsed {
        /// The phase.
        phase: String,
        /// Global step.
        step: u64,
        /// What was found.
        warning: Box<Warning>,
        /// What to try.
        advice: String,
        /// The checkpoint.
        folder: PathBuf,
    },
    /// A run that the machine's memory cannot hold; found before its first step.
    #[error(transparent)]
    Memory(Box<Refusal>),
    /// An observer's own trouble, e.g. a log file on a full disk.
    #[error("an observer of the run failed")]
    Observer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Probes and adapters.
    #[error(transparent)]
    Study(#[from] crate::study::StudyError),
    /// Clips.
    #[error(transparent)]
    Data(#[from] cola_data::Error),
    /// Files of parameters.
    #[error(transparent)]
    Params(#[from] cola_nn::Error),
    /// Tensor arithmetic.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

fn listed(refused: &[Fixed]) -> String {
    refused.iter().map(Fixed::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// Whether it may lie in a checkpoint's files, so that an older one could do.
    pub(crate) fn is_damage(&self) -> bool {
        use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        match self {
            Self::Io { source, .. } | Self::Params(cola_nn::Error::Io { source, .. }) => {
                matches!(source.kind(), NotFound | UnexpectedEof | InvalidData)
            }
            Self::Candle(_) | Self::Fixed { .. } | Self::Memory(_) => false,
            _ => true,
        }
    }
}
