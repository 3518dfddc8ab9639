//! A run that the machine cannot hold, and what would help.

use std::fmt;

use super::Outlook;
use super::memory::Memory;
use super::units::Bytes;
use crate::Error;
use crate::config::ExperimentConfig;

/// What a run needs, what there is, and the settings that help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The phase or stage that needs most.
    pub when: String,
    /// What it needs.
    pub memory: Memory,
    /// What the machine can give, in bytes.
    pub available: u64,
    /// Settings that lower the need, such as `compute.recompute=true`, each with the need under it alone; the one that
    /// helps most comes first.
    pub mends: Vec<(String, u64)>,
}

impl Refusal {
    pub(crate) fn of(
        config: &ExperimentConfig,
        when: String,
        memory: Memory,
        available: u64,
        clips: u64,
    ) -> Result<Self, Error> {
        let mut mends = Vec::new();
        for setting in settings(config, clips) {
            // A setting that does not fit this configuration helps nobody.
            let Ok(changed) = config.with(&setting) else { continue };
            let kept = clips.min((changed.data.memory * (1u64 << 30) as f64) as u64);
            let needed = Outlook::of(&changed, kept)?.peak().1.total();
            if needed < memory.total() {
                mends.push((setting, needed));
            }
        }
        mends.sort_by_key(|(_, needed)| *needed);
        Ok(Self { when, memory, available, mends })
    }
}

/// Settings that spend something else than memory: time, precision, or the size of a batch.
fn settings(config: &ExperimentConfig, clips: u64) -> Vec<String> {
    let halved = |value: usize| (value / 4).max(1);
    let mut settings = vec![
        "compute.recompute=true".to_owned(),
        "compute.dtype=\"bf16\"".to_owned(),
        "data.accumulate=4".to_owned(),
        format!("data.batch={}", halved(config.data.batch)),
        format!("evaluation.batch={}", halved(config.evaluation.batch)),
    ];
    if clips > 0 {
        settings.push("data.memory=0".to_owned());
    }
    settings
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.memory.total();
        let (largest, bytes) = self.memory.largest();
        write!(
            f,
            "{} needs about {} of memory, {} are available; most of it are {largest} ({})",
            self.when,
            Bytes(needed),
            Bytes(self.available),
            Bytes(bytes)
        )?;
        let [first, rest @ ..] = self.mends.as_slice() else {
            return f.write_str("; no setting helps but a smaller model or a machine with more");
        };
        write!(f, "; --set {} lowers it to {}", first.0, Bytes(first.1))?;
        for (setting, needed) in rest {
            write!(f, ", --set {setting} to {}", Bytes(*needed))?;
        }
        if first.1 > self.available {
            f.write_str("; none of them alone is enough")?;
        }
        Ok(())
    }
}
