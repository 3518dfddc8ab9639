//! The live dashboard of a training run on a terminal.

pub mod board;
pub mod chart;
pub mod draw;
pub mod keys;
pub mod pace;
pub mod screen;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use cola_coevolve::{Divergence, Error, ExperimentConfig, Observer, Phase, Record, System};
use cola_data::{CacheReport, Failure, Stall};
use cola_lam::CodebookUsage;
use ratatui::crossterm::event;

use self::board::Board;
use self::keys::{Reaction, View};
use self::screen::Screen;
use crate::display::Display;
use crate::figures::read_log;
use crate::folder::RunFolder;
use crate::signals::STOPPED_AT_ONCE;

/// Between two pictures.
const EVERY: Duration = Duration::from_millis(100);
/// Clocks move on at least so often.
const CLOCK: Duration = Duration::from_secs(1);

/// Shows a run on the terminal's other screen until it is dropped or [`Display::finish`] is called.
///
/// A thread of its own draws, ten times a second at most and only where something changed, so that the training pays for
/// little more than a lock, and keys are heard while a step takes long. Trouble with the terminal ends the dashboard and
/// never the run.
pub struct Dashboard {
    board: Arc<Mutex<Board>>,
    over: Arc<AtomicBool>,
    painter: Option<JoinHandle<()>>,
}

impl Dashboard {
    /// Takes the terminal over for a run in `folder`; `None` where the terminal refuses. The keys `q` and Ctrl-C set `stop`.
    ///
    /// # Errors
    /// A damaged log of the run.
    pub fn open(
        config: &ExperimentConfig,
        folder: &RunFolder,
        stop: Arc<AtomicBool>,
    ) -> Result<Option<Self>> {
        let log = folder.path("log.jsonl");
        let earlier = if log.is_file() { read_log(&log)? } else { Vec::new() };
        let board = Arc::new(Mutex::new(Board::new(config, folder.to_string(), earlier)));
        let over = Arc::new(AtomicBool::new(false));
        let Ok(screen) = screen::take() else { return Ok(None) };
        let painter = Painter { board: board.clone(), over: over.clone(), stop, screen };
        match thread::Builder::new().name("dashboard".into()).spawn(move || painter.paint()) {
            Ok(thread) => Ok(Some(Self { board, over, painter: Some(thread) })),
            Err(_) => {
                screen::restore();
                Ok(None)
            }
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// Ends the thread and gives the terminal back; says whether that was still to do.
    fn close(&mut self) -> bool {
        let Some(painter) = self.painter.take() else { return false };
        self.over.store(true, Ordering::Relaxed);
        // A panic of the thread was told when it happened.
        let _ = painter.join();
        screen::restore();
        true
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Display for Dashboard {
    fn finish(&mut self) {
        if self.close() {
            for note in self.board().notes.iter().filter(|note| note.lasting) {
                eprintln!("{}", note.text);
            }
        }
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Observer for Dashboard {
    fn on_phase(&mut self, phase: &Phase, done: u64, global: u64) -> Result<(), Error> {
        self.board().enter(phase, done, global, Instant::now());
        Ok(())
    }

    fn on_step(&mut self, _phase: &Phase, done: u64, loss: f64) -> Result<(), Error> {
        self.board().step(done, loss, Instant::now());
        Ok(())
    }

    fn on_skip(&mut self, _phase: &Phase, divergence: &Divergence) -> Result<(), Error> {
        self.board().skip(divergence);
        Ok(())
    }

    fn on_record(&mut self, record: &Record) -> Result<(), Error> {
        self.board().record(record);
        Ok(())
    }

    fn on_codes(&mut self, _step: u64, usage: &CodebookUsage) -> Result<(), Error> {
        self.board().codes(usage);
        Ok(())
    }

    fn on_evaluation(&mut self, _phase: &Phase, step: u64, _system: &System) -> Result<(), Error> {
        self.board().evaluating(step);
        Ok(())
    }

    fn on_phase_end(&mut self, _phase: &Phase, stall: &Stall, failures: &[Failure]) -> Result<(), Error> {
        self.board().leave(stall, failures, Instant::now());
        Ok(())
    }

    fn on_cache(&mut self, _phase: &Phase, report: &CacheReport) -> Result<(), Error> {
        self.board().cache(report);
        Ok(())
    }

    fn on_checkpoint(&mut self, folder: &Path) -> Result<(), Error> {
        self.board().saved(folder);
        Ok(())
    }
}

/// What the thread holds.
struct Painter {
    board: Arc<Mutex<Board>>,
    over: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    screen: Screen,
}

impl Painter {
    fn paint(mut self) {
        let mut view = View::default();
        let (mut seen, mut last) = (0, Instant::now());
        let mut hears = true;
        while !self.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            let stopping = self.stop.load(Ordering::Relaxed);
            let changes = lock(&self.board).changes;
            if changes != seen || now.duration_since(last) >= CLOCK {
                let picture = |frame: &mut ratatui::Frame<'_>| {
                    draw::draw(frame, &lock(&self.board), view, stopping, now);
                };
                if !screen::draw(&mut self.screen, picture) {
                    return screen::restore();
                }
                (seen, last) = (changes, now);
            }
            match self.hear(&mut view, &mut hears) {
                Reaction::None => (),
                Reaction::Redraw => seen = 0,
                Reaction::Quit => {
                    screen::restore();
                    std::process::exit(STOPPED_AT_ONCE.into());
                }
            }
        }
    }

    /// Waits for the time of one picture, and takes in every key that is there then.
    fn hear(&self, view: &mut View, hears: &mut bool) -> Reaction {
        let until = Instant::now() + EVERY;
        let mut reaction = Reaction::None;
        while *hears && reaction != Reaction::Quit {
            let wait = until.saturating_duration_since(Instant::now());
            match event::poll(wait) {
                Ok(false) => return reaction,
                Ok(true) => match event::read() {
                    Ok(event) => match view.react(&event, &self.stop) {
                        Reaction::None => (),
                        found => reaction = found,
                    },
                    Err(_) => *hears = false,
                },
                // No keys then; the picture goes on.
                Err(_) => *hears = false,
            }
        }
        if reaction != Reaction::Quit {
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        reaction
    }
}
