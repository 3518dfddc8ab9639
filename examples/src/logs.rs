//! Records to JSON Lines and TensorBoard.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use cola_coevolve::{Error, ExperimentConfig, Observer, Record};
use cola_lam::{CodebookUsage, UsageFigures};
use cola_report::{EventWriter, JsonLines};

use crate::folder::RunFolder;

/// The event file of a run, which several observers write to: TensorBoard follows one file of a folder at a time.
pub type Events = Rc<RefCell<EventWriter>>;

/// `log.jsonl` and `tensorboard/` of a run.
pub struct Logs {
    lines: JsonLines,
    events: Events,
}

impl Logs {
    /// Starts logs, or goes on after `step`: what a killed run wrote beyond its last checkpoint is dropped, so that the
    /// lines are those of a run that never stopped.
    ///
    /// # Errors
    /// The disk's, a damaged log.
    pub fn open(folder: &RunFolder, step: u64, config: &ExperimentConfig) -> Result<Self> {
        let lines = JsonLines::resume(folder.path("log.jsonl"), |line| {
            line["step"].as_u64().is_some_and(|logged| logged <= step)
        })?;
        let tensorboard = folder.path("tensorboard");
        let events = if tensorboard.exists() {
            EventWriter::resume(tensorboard, step as i64 + 1)?
        } else {
            let mut events = EventWriter::create(tensorboard)?;
            events.text("config", 0, &format!("```toml\n{}\n```", config.to_toml()?))?;
            events
        };
        Ok(Self { lines, events: Rc::new(RefCell::new(events)) })
    }

    /// The event file, for what else belongs there.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    fn write(&mut self, record: &Record) -> Result<(), cola_report::Error> {
        self.lines.write(record)?;
        let step = record.step as i64;
        let mut events = self.events.borrow_mut();
        let mut scalar = |tag: &str, value: Option<f64>| match value {
            Some(value) => events.scalar(tag, step, value as f32),
            None => Ok(()),
        };
        scalar("loss/total", Some(record.loss))?;
        scalar("loss/flow", record.flow)?;
        scalar("loss/reconstruction", record.reconstruction)?;
        scalar("loss/codebook", record.codebook)?;
        scalar("loss/commitment", record.commitment)?;
        scalar("loss/entropy_penalty", record.entropy_penalty)?;
        scalar("gradient_norm", Some(record.gradient_norm))?;
        scalar("gradient_norm/idm_prediction", record.idm_gradient_prediction)?;
        scalar("gradient_norm/idm_vq", record.idm_gradient_vq)?;
        scalar("tokens/norm", record.token_norm)?;
        scalar("tokens/spread", record.token_spread)?;
        scalar("codes/norm", record.code_norm)?;
        scalar("sensitivity", record.sensitivity)?;
        if let Some(codes) = &record.codes {
            let mut usage = |place: &str, figures: &UsageFigures| {
                scalar(&format!("codes_{place}/utilization"), Some(figures.utilization))?;
                scalar(&format!("codes_{place}/max_usage"), Some(figures.max_usage))?;
                scalar(&format!("codes_{place}/entropy"), Some(figures.entropy))?;
                scalar(&format!("codes_{place}/normalised_entropy"), Some(figures.normalised))
            };
            usage("pooled", &codes.pooled)?;
            usage("joint", &codes.joint)?;
            for (position, figures) in codes.positions.iter().enumerate() {
                usage(&format!("position_{position}"), figures)?;
            }
        }
        events.flush()
    }

    /// How often each code occurs, over all positions and at each.
    fn write_codes(&self, step: u64, usage: &CodebookUsage) -> Result<(), cola_report::Error> {
        let step = step as i64;
        let mut events = self.events.borrow_mut();
        let mut pooled = vec![0; usage.entries()];
        for position in 0..usage.positions() {
            let counts = usage.histogram(position);
            pooled.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
            events.histogram(&format!("codes/position_{position}"), step, &counts)?;
        }
        events.histogram("codes/pooled", step, &pooled)?;
        events.flush()
    }
}

impl Observer for Logs {
    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        self.write(record).map_err(|error| Error::Observer(Box::new(error)))
    }

    fn on_codes(&mut self, step: u64, usage: &CodebookUsage) -> Result<(), Error> {
        self.write_codes(step, usage).map_err(|error| Error::Observer(Box::new(error)))
    }
}
