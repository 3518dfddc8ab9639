//! Ctrl-C and the signals that ask a program to end: the first is obeyed as soon as everything is saved, the second at
//! once.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cola_coevolve::Error;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::dashboard::screen;

/// Exit status of a run that was asked to stop and that `--resume` continues: EX_TEMPFAIL of sysexits.h, on which
/// schedulers start a job again.
pub const STOPPED: u8 = 75;
/// Exit status of a program that was stopped at once, as a shell tells of Ctrl-C.
pub const STOPPED_AT_ONCE: u8 = 130;

/// What the help of a training program says of its exit status.
pub const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    an error, said on standard error
  2    a command line that is not understood
  75   stopped by Ctrl-C, SIGTERM or SIGHUP: everything up to the last step is saved, --resume goes on
  130  stopped at once, by a second signal or before there was anything to save: --resume goes on from the newest
       checkpoint";

/// Between two looks at whether a signal has come.
const PAUSE: Duration = Duration::from_millis(50);
/// What comes this soon after the first signal belongs to it: `timeout` and a closing terminal send two.
const SAME: Duration = Duration::from_millis(500);

/// What the first signal does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Ends the program: nothing is there to be resumed.
    Nothing,
    /// Ends the program: everything is saved.
    Saved,
    /// Tells the training to stop.
    Training,
}

/// Signals concern the whole process.
struct State {
    stage: Mutex<Stage>,
    stop: Arc<AtomicBool>,
}

static STATE: LazyLock<State> =
    LazyLock::new(|| State { stage: Mutex::new(Stage::Nothing), stop: Arc::default() });

impl State {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From here on signals are obeyed as [`EXIT_STATUS`] says. Those that the process was started to ignore, as with
/// `nohup`, stay ignored.
///
/// # Errors
/// The system's.
pub fn listen() -> Result<()> {
    let arrived = Arc::new(AtomicBool::new(false));
    for signal in wanted() {
        signal_hook::flag::register(signal, arrived.clone()).context("cannot listen to signals")?;
    }
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || watch(&arrived))
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

/// A run is there that `--resume` continues.
pub fn saved() {
    *STATE.stage() = Stage::Saved;
}

/// Training begins: the first signal raises this flag, see [`Run::stop_when`](cola_coevolve::Run::stop_when).
pub fn training_begins() -> Arc<AtomicBool> {
    *STATE.stage() = Stage::Training;
    STATE.stop.clone()
}

/// Training has ended, saved; returns whether it was asked to. From here on the first signal ends the program.
pub fn training_ends() -> bool {
    let mut stage = STATE.stage();
    *stage = Stage::Saved;
    STATE.stop.load(Ordering::SeqCst)
}

/// The exit status of a training program, whose error is told here.
pub fn exit_status(result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(error) if matches!(error.downcast_ref(), Some(Error::Stopped { .. })) => {
            eprintln!("{error}");
            ExitCode::from(STOPPED)
        }
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn watch(arrived: &AtomicBool) {
    let mut first: Option<Instant> = None;
    loop {
        thread::sleep(PAUSE);
        if !arrived.swap(false, Ordering::SeqCst) {
            continue;
        }
        match first {
            None => {
                first = Some(Instant::now());
                obey();
            }
            Some(first) if first.elapsed() < SAME => {}
            Some(_) => exit(STOPPED_AT_ONCE),
        }
    }
}

/// Does what the first signal asks for.
fn obey() {
    let stage = STATE.stage(); // held, so that training cannot end in between
    match *stage {
        Stage::Training => {
            STATE.stop.store(true, Ordering::SeqCst);
            // The dashboard says so itself.
            if !screen::is_taken() {
                eprintln!("stopping after this step; a second Ctrl-C stops at once");
            }
        }
        Stage::Saved => {
            eprintln!("stopped; everything is saved, --resume goes on");
            exit(STOPPED);
        }
        Stage::Nothing => {
            eprintln!("stopped before anything was to be saved");
            exit(STOPPED_AT_ONCE);
        }
    }
}

/// The signals that ask to end, less those that were silenced before this program began.
fn wanted() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    #[cfg(target_os = "linux")] // elsewhere it cannot be known whether `nohup` has silenced it
    signals.push(signal_hook::consts::SIGHUP);
    let ignored = ignored();
    signals.retain(|signal| ignored & (1 << (signal - 1)) == 0);
    signals
}

/// Ends the program, and leaves the terminal as it was.
fn exit(status: u8) -> ! {
    screen::restore();
    std::process::exit(status.into())
}

/// The set of ignored signals, bit `n - 1` for signal `n`, which only Linux shows.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}
