//! How a run shows itself while it trains: a dashboard on a terminal, plain lines and bars elsewhere.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use cola_coevolve::{ExperimentConfig, Observer};

use crate::console::Console;
use crate::dashboard::{Dashboard, screen};
use crate::folder::RunFolder;

/// An observer that people look at.
pub trait Display: Observer {
    /// The training is over, however it ended: what follows is printed below.
    fn finish(&mut self);

    /// Whether it has the whole terminal, so that nobody else may print.
    fn is_live(&self) -> bool {
        false
    }
}

/// The dashboard where both outputs are a terminal that this program has to itself, else, or where `plain` is asked for,
/// the bars. Its key `q` sets `stop`.
///
/// # Errors
/// A damaged log of the run.
pub fn open(
    plain: bool,
    config: &ExperimentConfig,
    folder: &RunFolder,
    stop: Arc<AtomicBool>,
) -> Result<Box<dyn Display>> {
    if plain || !screen::is_usable() {
        return Ok(Box::new(Console::new(config)));
    }
    match Dashboard::open(config, folder, stop)? {
        Some(dashboard) => Ok(Box::new(dashboard)),
        None => Ok(Box::new(Console::new(config))),
    }
}
