//! What the user asks of the dashboard.

use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is shown of the run, as the user chose it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Panels that the first one shown is away from the first of all, in either direction.
    pub panel: i32,
    /// Lines that the notes are scrolled back by.
    pub back: usize,
}

/// What follows from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing to draw.
    None,
    /// The picture changes.
    Redraw,
    /// Asked a second time to stop: the program ends at once.
    Quit,
}

impl View {
    /// `q` and Ctrl-C set `stop`, a second Ctrl-C ends the program at once (raw terminals send no signal for it), Tab and
    /// the arrows change what is shown.
    pub fn react(&mut self, event: &Event, stop: &AtomicBool) -> Reaction {
        let key = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            Event::Resize(..) => return Reaction::Redraw,
            _ => return Reaction::None,
        };
        match key {
            KeyEvent { code: KeyCode::Char('c'), modifiers: KeyModifiers::CONTROL, .. } => {
                if stop.swap(true, Ordering::Relaxed) {
                    return Reaction::Quit;
                }
            }
            KeyEvent { code: KeyCode::Char('q'), .. } => stop.store(true, Ordering::Relaxed),
            KeyEvent { code: KeyCode::Tab | KeyCode::Right, .. } => self.panel = self.panel.wrapping_add(1),
            KeyEvent { code: KeyCode::BackTab | KeyCode::Left, .. } => {
                self.panel = self.panel.wrapping_sub(1)
            }
            KeyEvent { code: KeyCode::Up, .. } => self.back = self.back.saturating_add(1),
            KeyEvent { code: KeyCode::PageUp, .. } => self.back = self.back.saturating_add(10),
            KeyEvent { code: KeyCode::Down, .. } => self.back = self.back.saturating_sub(1),
            KeyEvent { code: KeyCode::PageDown, .. } => self.back = self.back.saturating_sub(10),
            KeyEvent { code: KeyCode::End, .. } => self.back = 0,
            _ => return Reaction::None,
        }
        Reaction::Redraw
    }
}
