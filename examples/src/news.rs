//! What is worth telling of warnings and replaced clips: each when it is new.

use std::collections::BTreeMap;

use cola_coevolve::{Divergence, ExperimentConfig, Record, Warning};
use cola_data::Failure;

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct News {
    /// Warnings that were told, and for how many records they had held then.
    told: BTreeMap<String, u32>,
    /// Replaced clips that were told.
    replaced: usize,
}

impl News {
    /// A line for each warning of a record that begins; one that lasts is told again, ever less often.
    pub fn warnings(&mut self, record: &Record, config: &ExperimentConfig) -> Vec<String> {
        let news = record.warnings.iter().filter(|warning| self.is_new(warning));
        news.map(|warning| format!("step {}: {warning}; {}", record.step, warning.advice(config))).collect()
    }

    fn is_new(&mut self, warning: &Warning) -> bool {
        let (subject, now) = (warning.subject(), warning.windows());
        let new = self.told.get(&subject).is_none_or(|before| now < *before || now >= 4 * before);
        if new {
            self.told.insert(subject, now);
        }
        new
    }

    /// A step that was left out.
    pub fn skipped(divergence: &Divergence) -> String {
        let Divergence { step, what, value, clips, .. } = divergence;
        format!("step {}: left out, its {what} is {value}; clips {clips:?}", step + 1)
    }

    /// All clips that were replaced so far, if there are more of them than before.
    pub fn replaced(&mut self, failures: &[Failure]) -> Option<String> {
        if failures.len() <= self.replaced {
            return None;
        }
        self.replaced = failures.len();
        let clips = failures.iter().map(|clip| format!("{} {}: {}", clip.share, clip.clip, clip.message));
        let clips: Vec<String> = clips.collect();
        Some(format!("{} unreadable clips replaced: {}", clips.len(), clips.join("; ")))
    }
}
