//! How far a run has come.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines of a log that nobody watches.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// One phase of a run on standard error: name, steps, speed, time left and a message such as the loss.
///
/// A terminal gets a bar that stays in place. A file or a pipe gets the same words as a line at the start, at the end
/// and at most every ten seconds. Speed and time left are means since this process took the phase up, so validations
/// and checkpoints count, and steps that an earlier process did do not.
pub struct Progress {
    name: String,
    total: u64,
    /// Steps that took no time of this process.
    before: u64,
    done: u64,
    since: Instant,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Plain { to: Box<dyn Write + Send>, every: Duration, last: Instant },
}

impl Progress {
    /// Starts to show a phase of `total` steps of which `done` are behind it.
    pub fn start(name: &str, total: u64, done: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self::plain(name, total, done, PLAIN_EVERY, io::stderr());
        }
        let bar = ProgressBar::new(total).with_position(done).with_prefix(name.to_owned());
        // Should the template not parse, indicatif's own style tells as much.
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:.bold} {bar:20.cyan/238} {pos}/{len}  {wide_msg}")
        {
            bar.set_style(style.progress_chars("━╸━"));
        }
        bar.tick();
        Self::new(name, total, done, Display::Bar(bar))
    }

    /// As [`Progress::start`] without a terminal, to a writer and at a pace of one's own.
    pub fn plain(
        name: &str,
        total: u64,
        done: u64,
        every: Duration,
        to: impl Write + Send + 'static,
    ) -> Self {
        let display = Display::Plain { to: Box::new(to), every, last: Instant::now() };
        let mut progress = Self::new(name, total, done, display);
        progress.show(if done > 0 { "resumes" } else { "starts" });
        progress
    }

    fn new(name: &str, total: u64, done: u64, display: Display) -> Self {
        Self { name: name.to_owned(), total, before: done, done, since: Instant::now(), display }
    }

    /// `done` steps are behind the phase, those before this process included.
    pub fn tick(&mut self, done: u64, message: &str) {
        self.done = done;
        let due = match &self.display {
            Display::Bar(_) => true,
            Display::Plain { every, last, .. } => last.elapsed() >= *every,
        };
        if due {
            let (speed, left) = self.pace();
            self.show(&joined(&[&speed, &left, message]));
        }
    }

    /// Says something on a line of its own, above the bar: a checkpoint, a validation.
    pub fn note(&mut self, text: &str) {
        let line = format!("{}: {text}", self.name);
        match &mut self.display {
            Display::Bar(bar) => bar.println(line),
            Display::Plain { to, .. } => print(to, &line),
        }
    }

    /// The phase ends here, at the step of the last [`Progress::tick`].
    pub fn finish(mut self, message: &str) {
        let (speed, _) = self.pace();
        self.show(&joined(&[&format!("ends after {}", clock(self.since.elapsed())), &speed, message]));
        if let Display::Bar(bar) = &self.display {
            bar.abandon();
        }
    }

    fn show(&mut self, words: &str) {
        let percent = (self.done * 100).checked_div(self.total).unwrap_or(100);
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_position(self.done);
                bar.set_message(words.to_owned());
            }
            Display::Plain { to, last, .. } => {
                print(to, &format!("{} {}/{} ({percent}%): {words}", self.name, self.done, self.total));
                *last = Instant::now();
            }
        }
    }

    /// Speed and time left in words; empty as long as nothing was done.
    fn pace(&self) -> (String, String) {
        let steps = self.done.saturating_sub(self.before) as f64;
        let seconds = self.since.elapsed().as_secs_f64();
        if steps == 0.0 || seconds == 0.0 {
            return (String::new(), String::new());
        }
        let speed = match steps / seconds {
            rate @ 10.0.. => format!("{rate:.0} steps/s"),
            rate @ 1.0.. => format!("{rate:.1} steps/s"),
            rate => format!("{:.1} s/step", 1.0 / rate),
        };
        let left = self.total.saturating_sub(self.done) as f64 * seconds / steps;
        (speed, format!("{} left", clock(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))))
    }
}

/// Who cannot be told how a run goes on is no reason to stop it, so a failed write is passed over.
fn print(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}

fn joined(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// The two largest units of a time, such as `2h 05m`.
pub fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ ..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds @ ..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}
