//! What the dashboard knows of a run.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use cola_coevolve::{Divergence, ExperimentConfig, Phase, Record};
use cola_data::{CacheReport, Failure, Stall};
use cola_lam::CodebookUsage;
use cola_report::clock;

use crate::dashboard::pace::Pace;
use crate::news::News;

/// Records that the curves show.
pub const RECORDS: usize = 400;
/// Notes that are kept.
const NOTES: usize = 500;

/// Something that was told in passing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub text: String,
    /// Something is wrong, or may be.
    pub warning: bool,
    /// It is printed again after the end.
    pub lasting: bool,
}

/// Where the run stands in its phase.
#[derive(Clone, Debug)]
pub struct Position {
    /// The phase.
    pub phase: Phase,
    /// Its steps that are done.
    pub done: u64,
    /// Steps of the plan before this phase.
    pub before: u64,
    /// Its speed.
    pub pace: Pace,
}

/// The state of a run as its observer hears of it. Knows no terminal.
pub struct Board {
    /// The run's configuration.
    pub config: ExperimentConfig,
    /// The run's folder.
    pub folder: String,
    /// `None` before the first phase.
    pub position: Option<Position>,
    /// A running mean of the steps' losses, so that the number can be read.
    pub loss: Option<f64>,
    /// The last [`RECORDS`] records.
    pub records: VecDeque<Record>,
    /// Codes of the last record.
    pub usage: Option<CodebookUsage>,
    /// Waiting for data in the last phase that ended.
    pub stall: Option<f64>,
    /// Name of the newest checkpoint.
    pub saved: Option<String>,
    /// What takes longer than a step just now.
    pub busy: Option<&'static str>,
    /// What was told in passing, the newest last.
    pub notes: VecDeque<Note>,
    /// Goes up whenever anything changes.
    pub changes: u64,
    news: News,
}

impl Board {
    /// Of a run in `folder`, with the records that an earlier process wrote.
    pub fn new(config: &ExperimentConfig, folder: String, earlier: Vec<Record>) -> Self {
        let skipped = earlier.len().saturating_sub(RECORDS);
        Self {
            config: config.clone(),
            folder,
            position: None,
            loss: None,
            records: earlier.into_iter().skip(skipped).collect(),
            usage: None,
            stall: None,
            saved: None,
            busy: None,
            notes: VecDeque::new(),
            changes: 1,
            news: News::default(),
        }
    }

    /// A phase begins or goes on after `done` steps, `global` of the plan.
    pub fn enter(&mut self, phase: &Phase, done: u64, global: u64, now: Instant) {
        let before = global.saturating_sub(done);
        self.position = Some(Position { phase: *phase, done, before, pace: Pace::start(now, done) });
        self.loss = None;
        self.changes += 1;
    }

    /// A step is done.
    pub fn step(&mut self, done: u64, loss: f64, now: Instant) {
        if let Some(position) = &mut self.position {
            position.done = done;
            position.pace.tick(now, done);
        }
        self.loss =
            Some(self.loss.filter(|mean| mean.is_finite()).map_or(loss, |mean| 0.95 * mean + 0.05 * loss));
        self.busy = None;
        self.changes += 1;
    }

    /// A step was left out.
    pub fn skip(&mut self, divergence: &Divergence) {
        self.note(News::skipped(divergence), true, true);
    }

    /// A record is complete.
    pub fn record(&mut self, record: &Record) {
        for text in self.news.warnings(record, &self.config) {
            self.note(text, true, true);
        }
        self.records.push_back(record.clone());
        if self.records.len() > RECORDS {
            self.records.pop_front();
        }
        self.changes += 1;
    }

    /// Codes behind the last record.
    pub fn codes(&mut self, usage: &CodebookUsage) {
        self.usage = Some(usage.clone());
        self.changes += 1;
    }

    /// A phase is over.
    pub fn leave(&mut self, stall: &Stall, failures: &[Failure], now: Instant) {
        if let Some(Position { phase, done, pace, .. }) = &self.position {
            let (took, loss) = (clock(pace.elapsed(now)), self.loss.unwrap_or(f64::NAN));
            let text = format!("{phase}: {done} steps, ended after {took}, loss {loss:.4}, data {stall}");
            self.note(text, false, true);
        }
        if let Some(text) = self.news.replaced(failures) {
            self.note(text, true, true);
        }
        self.stall = Some(stall.share());
    }

    /// What the cache of latents was good for in the phase that ended.
    pub fn cache(&mut self, report: &CacheReport) {
        self.note(format!("latents: {report}"), false, true);
        for trouble in &report.troubles {
            self.note(format!("latents: {trouble}"), true, true);
        }
    }

    /// A checkpoint is on the disk.
    pub fn saved(&mut self, folder: &Path) {
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        self.note(format!("saved {name}"), false, false);
        self.saved = Some(name);
    }

    /// An evaluation begins; it lasts until the next step.
    pub fn evaluating(&mut self, step: u64) {
        self.note(format!("evaluation after step {step}"), false, false);
        self.busy = Some("evaluating");
    }

    fn note(&mut self, text: String, warning: bool, lasting: bool) {
        self.notes.push_back(Note { text, warning, lasting });
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
        self.changes += 1;
    }
}
