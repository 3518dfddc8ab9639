//! Progress bars for training phases, and warnings above them.

use cola_coevolve::{Divergence, Error, ExperimentConfig, Observer, Phase, Record};
use cola_data::{CacheReport, Failure, Stall};
use cola_report::Progress;

use crate::display::Display;
use crate::news::News;

/// One bar for each phase: rate, loss, codes in use, time left.
pub struct Console {
    config: ExperimentConfig,
    bar: Option<Progress>,
    codes: String,
    /// A running mean, so that the number can be read.
    loss: Option<f64>,
    news: News,
}

impl Console {
    /// For a run of this configuration.
    pub fn new(config: &ExperimentConfig) -> Self {
        Self { config: config.clone(), bar: None, codes: String::new(), loss: None, news: News::default() }
    }

    /// A line above the bar.
    fn note(&mut self, line: &str) {
        match &mut self.bar {
            Some(bar) => bar.note(line),
            None => eprintln!("{line}"),
        }
    }

    fn message(&self) -> String {
        format!("loss {:.4}{}", self.loss.unwrap_or(f64::NAN), self.codes)
    }
}

impl Display for Console {
    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            let message = self.message();
            bar.finish(&message);
        }
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

    fn on_skip(&mut self, _phase: &Phase, divergence: &Divergence) -> Result<(), Error> {
        self.note(&News::skipped(divergence));
        Ok(())
    }

    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        if let Some(codes) = &record.codes {
            let (used, most) = (100.0 * codes.pooled.utilization, 100.0 * codes.pooled.max_usage);
            self.codes = format!(", codes {used:.0} %, most {most:.0} %");
        }
        for line in self.news.warnings(record, &self.config) {
            self.note(&line);
        }
        Ok(())
    }

    fn on_phase_end(&mut self, _phase: &Phase, stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        self.finish();
        eprintln!("data       {stall}");
        if let Some(replaced) = self.news.replaced(failures) {
            eprintln!("data       {replaced}");
        }
        Ok(())
    }

    fn on_cache(&mut self, _phase: &Phase, report: &CacheReport) -> Result<(), Error> {
        eprintln!("latents    {report}");
        report.troubles.iter().for_each(|trouble| eprintln!("latents    {trouble}"));
        Ok(())
    }
}
