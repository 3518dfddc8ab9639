//! All trials: table, summary and file.

use std::path::Path;

use anyhow::Result;
use cola_report::Table;
use serde_json::{Value, json};

use crate::kill_test::job::Job;
use crate::kill_test::moment::Pace;
use crate::kill_test::trial::{Kill, Trial, Verdict};
use crate::kill_test::{KillArgs, Moments};
use crate::output::write;

/// What became of the trials.
pub(crate) struct Report {
    head: Value,
    trials: Vec<Trial>,
}

impl Report {
    pub(crate) fn new(args: &KillArgs, job: &Job, pace: &Pace) -> Self {
        let moments = match args.moments {
            Moments::Random => "random",
            Moments::Checkpoints => "checkpoints",
        };
        let head = json!({
            "seed": args.seed,
            "moments": moments,
            "arguments": job.arguments(),
            "undisturbed_seconds": pace.length.as_secs_f64(),
            "checkpoints": pace.saves.begun,
            "checkpoint_seconds": pace.saves.mean().as_secs_f64(),
        });
        Self { head, trials: Vec::new() }
    }

    pub(crate) fn add(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    fn equal(&self) -> usize {
        self.trials.iter().filter(|trial| trial.is_equal()).count()
    }

    pub(crate) fn all_equal(&self) -> bool {
        self.equal() == self.trials.len()
    }

    fn kills(&self) -> impl Iterator<Item = &Kill> {
        self.trials.iter().flat_map(|trial| &trial.kills)
    }

    /// For the bar.
    pub(crate) fn message(&self) -> String {
        format!("{} equal, {} kills", self.equal(), self.kills().count())
    }

    /// A row for each trial.
    pub(crate) fn table(&self) -> Result<String> {
        let mut table = Table::new(["trial", "killed after", "where", "verdict"]);
        for (number, trial) in self.trials.iter().enumerate() {
            let joined =
                |text: &dyn Fn(&Kill) -> String| trial.kills.iter().map(text).collect::<Vec<_>>().join(" | ");
            let times = joined(&|kill| format!("{:.2} s", kill.seconds));
            let places = joined(&|kill| kill.reached.place.clone());
            let verdict = match &trial.verdict {
                Verdict::Equal => "equal".into(),
                Verdict::Differs(files) => format!("differs: {}", files.join(", ")),
                Verdict::Failed(reason) => format!("failed: {}", reason.lines().next().unwrap_or_default()),
            };
            table.row([number.to_string(), times, places, verdict])?;
        }
        Ok(table.to_markdown())
    }

    /// The result in one line.
    pub(crate) fn summary(&self) -> String {
        let saving = self.kills().filter(|kill| kill.reached.saving).count();
        format!(
            "{} of {} trials equal to the undisturbed run, byte for byte, after {} kills, {saving} of them during a save",
            self.equal(),
            self.trials.len(),
            self.kills().count()
        )
    }

    /// Everything, for programs.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let trials = self.trials.iter().map(|trial| {
            let kills = trial.kills.iter().map(|kill| {
                json!({ "seconds": kill.seconds, "where": kill.reached.place, "saving": kill.reached.saving })
            });
            let (verdict, reason) = match &trial.verdict {
                Verdict::Equal => ("equal", Value::Null),
                Verdict::Differs(files) => ("differs", json!(files)),
                Verdict::Failed(reason) => ("failed", json!(reason)),
            };
            json!({ "kills": kills.collect::<Vec<_>>(), "verdict": verdict, "reason": reason })
        });
        let mut report = self.head.clone();
        report["equal"] = json!(self.equal());
        report["times"] = json!(self.trials.len());
        report["kills"] = json!(self.kills().count());
        report["trials"] = trials.collect();
        write(file, &serde_json::to_vec_pretty(&report)?)
    }
}
