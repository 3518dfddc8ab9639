//! A hub whose transfers are seen.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use cola_weights::{Hub, Transfer, bytes};
use indicatif::{ProgressBar, ProgressStyle};

/// The hub of the environment's settings; files that arrive show as bars on a terminal, elsewhere as a line at start and
/// end.
pub fn hub() -> Hub {
    let shown: Mutex<Option<Shown>> = Mutex::default();
    Hub::from_env().on_progress(move |transfer| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|shown| shown.file != transfer.file) {
            // What is in the cache already is not worth a word.
            *shown = (transfer.done < transfer.total).then(|| Shown::start(transfer));
        }
        if shown.as_mut().is_some_and(|shown| shown.tick(transfer)) {
            *shown = None;
        }
    })
}

struct Shown {
    file: String,
    /// None where nobody watches a bar.
    bar: Option<ProgressBar>,
}

impl Shown {
    fn start(transfer: Transfer<'_>) -> Self {
        let file = transfer.file.to_string();
        if !std::io::stderr().is_terminal() {
            eprintln!("{file}: fetching {}, {} are here", bytes(transfer.total), bytes(transfer.done));
            return Self { file, bar: None };
        }
        let bar = ProgressBar::new(transfer.total).with_position(transfer.done).with_prefix(file.clone());
        bar.reset_eta();
        // Should the template not parse, indicatif's own style tells as much.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix:.bold} {bar:20.cyan/238} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left",
        ) {
            bar.set_style(style.progress_chars("━╸━"));
        }
        Self { file, bar: Some(bar) }
    }

    /// Whether the file is whole.
    fn tick(&mut self, transfer: Transfer<'_>) -> bool {
        let whole = transfer.done == transfer.total;
        match &self.bar {
            Some(bar) => {
                bar.set_position(transfer.done);
                if whole {
                    bar.abandon();
                }
            }
            None if whole => eprintln!("{}: fetched", self.file),
            None => {}
        }
        whole
    }
}
