//! Progress bars for training phases.

use cola_coevolve::{Error, Observer, Phase, Record};
use cola_report::Progress;

/// One bar for each phase: rate, loss, codes in use, time left.
#[derive(Default)]
pub struct Console {
    bar: Option<Progress>,
    codes: String,
    /// A running mean, so that the number can be read.
    loss: Option<f64>,
}

impl Console {
    /// Ends the last phase's bar.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            let message = self.message();
            bar.finish(&message);
        }
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
        if let (Some(used), Some(most)) = (record.utilization, record.max_usage) {
            self.codes = format!(", codes {:.0} %, most {:.0} %", 100.0 * used, 100.0 * most);
        }
        Ok(())
    }
}
