//! Progress bars for training phases, and warnings above them.

use std::collections::BTreeMap;

use cola_coevolve::{Error, ExperimentConfig, Observer, Phase, Record, Warning};
use cola_data::{CacheReport, Failure, Stall};
use cola_report::Progress;

/// One bar for each phase: rate, loss, codes in use, time left.
pub struct Console {
    config: ExperimentConfig,
    bar: Option<Progress>,
    codes: String,
    /// A running mean, so that the number can be read.
    loss: Option<f64>,
    /// Warnings that were shown, and for how many records they had held then.
    shown: BTreeMap<String, u32>,
    /// Replaced clips that were shown.
    replaced: usize,
}

impl Console {
    /// For a run of this configuration.
    pub fn new(config: &ExperimentConfig) -> Self {
        Self {
            config: config.clone(),
            bar: None,
            codes: String::new(),
            loss: None,
            shown: BTreeMap::new(),
            replaced: 0,
        }
    }

    /// Ends the last phase's bar.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            let message = self.message();
            bar.finish(&message);
        }
    }

    /// A warning is shown when it begins and then ever less often.
    fn is_news(&mut self, warning: &Warning) -> bool {
        let (subject, now) = (warning.subject(), warning.windows());
        let news = self.shown.get(&subject).is_none_or(|before| now < *before || now >= 4 * before);
        if news {
            self.shown.insert(subject, now);
        }
        news
    }

    fn message(&self) -> String {
        format!("loss {:.4}{}", self.loss.unwrap_or(f64::NAN), self.codes)
    }
}

impl Observer for Console {
    fn on_phase(&mut self, phase: &Phase, done: u64, _global: u64) -> Result<(), Error> {
        self.finish();
        (self.loss, self.codes) = (None, String::new());
        self.bar = Some(Progress::start(&phase.to_string(), phase.steps, done));
        Ok(())
    }

    fn on_step(&mut self, _phase: &Phase, done: u64, loss: f64) -> Result<(), Error> {
        self.loss = Some(self.loss.map_or(loss, |mean| 0.95 * mean + 0.05 * loss));
        let message = self.message();
        if let Some(bar) = &mut self.bar {
            bar.tick(done, &message);
        }
        Ok(())
    }

    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        if let Some(codes) = &record.codes {
            let (used, most) = (100.0 * codes.pooled.utilization, 100.0 * codes.pooled.max_usage);
            self.codes = format!(", codes {used:.0} %, most {most:.0} %");
        }
        for warning in &record.warnings {
            if self.is_news(warning) {
                let line = format!("step {}: {warning}; {}", record.step, warning.advice(&self.config));
                match &mut self.bar {
                    Some(bar) => bar.note(&line),
                    None => eprintln!("{line}"),
                }
            }
        }
        Ok(())
    }

    fn on_phase_end(&mut self, _phase: &Phase, stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        self.finish();
        eprintln!("data       {stall}");
        if failures.len() > self.replaced {
            let clips = failures.iter().map(|clip| format!("{} {}: {}", clip.share, clip.clip, clip.message));
            let clips: Vec<String> = clips.collect();
            eprintln!("data       {} unreadable clips replaced: {}", clips.len(), clips.join("; "));
            self.replaced = failures.len();
        }
        Ok(())
    }

    fn on_cache(&mut self, _phase: &Phase, report: &CacheReport) -> Result<(), Error> {
        eprintln!("latents    {report}");
        report.troubles.iter().for_each(|trouble| eprintln!("latents    {trouble}"));
        Ok(())
    }
}
