//! The terminal: taken over, and given back however the program ends.

use std::io::{self, IsTerminal, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError, TryLockError};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

/// The terminal is in raw mode and shows the alternate screen.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Held while something is written to the terminal.
static WRITING: Mutex<()> = Mutex::new(());
static HOOK: Once = Once::new();

/// How often, and how long each time, giving back waits for a picture that is being drawn. The thread that draws it may
/// be the one that panics.
const PATIENCE: (u32, Duration) = (20, Duration::from_millis(5));

/// The terminal as drawn on.
pub type Screen = Terminal<CrosstermBackend<io::Stdout>>;

/// Whether both outputs are a terminal that understands cursors, and this program is in its foreground: a program in the
/// background that changes the terminal is stopped by the system.
pub fn is_usable() -> bool {
    let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb" && !term.is_empty());
    able && io::stdin().is_terminal()
        && stdout().is_terminal()
        && io::stderr().is_terminal()
        && in_foreground()
}

#[cfg(unix)]
fn in_foreground() -> bool {
    rustix::termios::tcgetpgrp(stdout()).is_ok_and(|group| group == rustix::process::getpgrp())
}

#[cfg(not(unix))]
fn in_foreground() -> bool {
    true
}

/// Whether the terminal shows the dashboard now, so that nothing may be printed.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Takes the terminal over; from here on [`restore`] gives it back, also where a thread panics.
///
/// # Errors
/// A terminal that refuses; it is as it was then.
pub fn take() -> io::Result<Screen> {
    HOOK.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            earlier(panic);
        }));
    });
    TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode()
        .and_then(|()| execute!(stdout(), EnterAlternateScreen, Hide))
        .and_then(|()| empty());
    if taken.is_err() {
        restore();
    }
    taken
}

/// An empty screen of the terminal's present size. Not [`Terminal::clear`], which asks the terminal where its cursor is and
/// fails where it does not answer.
fn empty() -> io::Result<Screen> {
    execute!(stdout(), Clear(ClearType::All))?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

/// Gives the terminal back: the normal screen, the cursor, line by line input. May be called at any time, from any
/// thread, any number of times; a program that ends itself by [`std::process::exit`] calls it first.
pub fn restore() {
    let _writing = (0..PATIENCE.0).find_map(|_| match WRITING.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            std::thread::sleep(PATIENCE.1);
            None
        }
    });
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone cannot be mended, and nobody is there to be told.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

/// Draws, unless the terminal was given back; says whether it may go on.
pub fn draw(screen: &mut Screen, picture: impl FnOnce(&mut Frame<'_>)) -> bool {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    TAKEN.load(Ordering::SeqCst) && draw_at_its_size(screen, picture).is_ok()
}

fn draw_at_its_size(screen: &mut Screen, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
    if screen.size()? != screen.get_frame().area().as_size() {
        *screen = empty()?;
    }
    screen.draw(picture).map(drop)
}
