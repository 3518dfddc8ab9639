//! What one run wrote: its records, its evaluations, its final figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cola_coevolve::Record;
use cola_report::Mark;
use serde_json::Value;

use crate::figures::read_log;

/// A score that evaluations measure, and where it stands in their files.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// Its key in tables.
    pub key: &'static str,
    /// Title of its panel.
    pub title: &'static str,
    /// Keys from the evaluation inwards.
    pub path: [&'static str; 2],
}

/// Scores in dB.
pub const SCORES: [Score; 4] = [
    Score {
        key: "psnr_one_step",
        title: "PSNR one frame ahead, true actions",
        path: ["one_step", "true_actions"],
    },
    Score {
        key: "psnr_one_step_shuffled",
        title: "PSNR one frame ahead, shuffled actions",
        path: ["one_step", "shuffled"],
    },
    Score { key: "psnr_rollout", title: "PSNR of rollouts, true actions", path: ["rollout", "true_actions"] },
    Score {
        key: "psnr_rollout_shuffled",
        title: "PSNR of rollouts, shuffled actions",
        path: ["rollout", "shuffled"],
    },
];

/// A run as its folder tells it; it may still be going.
#[derive(Debug)]
pub struct History {
    /// The folder.
    pub folder: PathBuf,
    /// Records of `log.jsonl`, without a torn last line.
    pub records: Vec<Record>,
    /// Scores in the order of [`SCORES`] by step, from `evaluations/`.
    pub evaluations: BTreeMap<u64, [f64; SCORES.len()]>,
    /// Scores at the end, from `evaluation.json`; those of its first guidance scale.
    pub last: Option<[f64; SCORES.len()]>,
}

impl History {
    /// Reads a folder.
    ///
    /// # Errors
    /// A folder without `log.jsonl`, a damaged file: file and line or field are named.
    pub fn read(folder: &Path) -> Result<Self> {
        let log = folder.join("log.jsonl");
        if !log.is_file() {
            bail!(
                "{}: no run here (log.jsonl is missing); name the output folder of a training run",
                folder.display()
            );
        }
        let end = folder.join("evaluation.json");
        let last = if end.is_file() {
            let value = json(&end)?;
            let first = value.get(0).with_context(|| {
                format!("{}: expected a list with an evaluation for each guidance scale", end.display())
            })?;
            Some(scores(&end, first)?)
        } else {
            None
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            records: read_log(&log)?,
            evaluations: evaluations(&folder.join("evaluations"))?,
            last,
        })
    }

    /// Where the phases begin, as far as the run has come.
    pub fn phases(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for record in &self.records {
            let x = record.step.saturating_sub(record.phase_step) as f64;
            if marks.last().is_none_or(|mark| mark.x != x || mark.label != record.phase) {
                marks.push(Mark::new(x, record.phase.as_str()));
            }
        }
        marks
    }
}

fn json(file: &Path) -> Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}: not JSON", file.display()))
}

fn scores(file: &Path, evaluation: &Value) -> Result<[f64; SCORES.len()]> {
    let mut found = [f64::NAN; SCORES.len()];
    for (score, Score { path: [outer, inner], .. }) in found.iter_mut().zip(SCORES) {
        let value = evaluation.get(outer).and_then(|value| value.get(inner));
        *score = match value {
            // A score that is not finite is stored as null.
            Some(Value::Null) => f64::NAN,
            Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
            _ => bail!("{}: field `{outer}.{inner}` is missing or no number", file.display()),
        };
    }
    Ok(found)
}

/// The evaluations during training; none where there is no such folder.
fn evaluations(folder: &Path) -> Result<BTreeMap<u64, [f64; SCORES.len()]>> {
    let mut found = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    let read = || format!("{}: cannot be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(read)? {
        let file = entry.with_context(read)?.path();
        if file.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let value = json(&file)?;
        let (step, evaluation) = value
            .get("step")
            .and_then(Value::as_u64)
            .zip(value.get("evaluation"))
            .with_context(|| format!("{}: fields `step` and `evaluation` expected", file.display()))?;
        found.insert(step, scores(&file, evaluation)?);
    }
    Ok(found)
}
