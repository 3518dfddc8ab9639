//! The whole picture: head, panels, notes, keys.

use std::time::Instant;

use cola_report::clock;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Widget};

use crate::dashboard::board::{Board, Position};
use crate::dashboard::chart::{CURVES, draw_codes, short};
use crate::dashboard::keys::View;

/// Columns and lines that a panel needs to be read.
const PANEL: (u16, u16) = (44, 9);
/// From so many lines on, the notes have a place of their own.
const TALL: u16 = 22;
/// Panels: the curves, the codes, the notes.
const CODES: usize = CURVES.len();
const NOTES: usize = CODES + 1;

/// Draws a run as it stands at `now`, on a terminal of any size.
pub fn draw(frame: &mut Frame<'_>, board: &Board, view: View, stopping: bool, now: Instant) {
    let area = frame.area();
    let tall = area.height >= TALL;
    let notes = if tall { (area.height / 4).clamp(5, 12) } else { 0 };
    let foot = u16::from(area.height > 6) + u16::from(tall);
    let head = area.height.min(4);
    let [head, body, below, foot] = Layout::vertical([
        Constraint::Length(head),
        Constraint::Fill(1),
        Constraint::Length(notes),
        Constraint::Length(foot),
    ])
    .areas(area);
    let to = frame.buffer_mut();
    Paragraph::new(header(board, head.width, stopping, now)).render(head, to);
    draw_panels(board, view, tall, body, to);
    if tall {
        draw_notes(board, view.back, below, to);
    }
    Paragraph::new(footer(board, tall)).dark_gray().render(foot, to);
}

fn header(board: &Board, width: u16, stopping: bool, now: Instant) -> Vec<Line<'static>> {
    let config = &board.config;
    let mut lines = vec![Line::from(vec![
        Span::from(config.plan.to_string()).bold(),
        Span::from(format!("  seed {}  ", config.seed)),
        Span::from(board.folder.clone()),
    ])];
    let Some(Position { phase, done, before, pace }) = &board.position else {
        lines.push(Line::from("starts"));
        return lines;
    };
    let rate = match pace.rate(now) {
        Some(rate) if rate >= 1.0 => format!("{rate:.1} steps/s, "),
        Some(rate) => format!("{:.1} s/step, ", 1.0 / rate),
        None => String::new(),
    };
    let (global, total) = (before + done, config.plan.steps());
    let left = |steps| pace.left(now, steps).map_or("...".into(), clock);
    let phase_words = format!("{rate}{} left", left(phase.steps.saturating_sub(*done)));
    let plan_words = format!(
        "{} left at this pace, {} in this phase",
        left(total.saturating_sub(global)),
        clock(pace.elapsed(now))
    );
    lines.push(bar(&phase.to_string(), *done, phase.steps, &phase_words, width));
    lines.push(bar("plan", global, total, &plan_words, width));
    let mut figures = format!("loss {}", short(board.loss.unwrap_or(f64::NAN)));
    if let Some(last) = board.records.back() {
        figures += &format!("  gradient {}", short(last.gradient_norm));
    }
    if let Some(stall) = board.stall {
        figures += &format!("  data stall {stall:.1} %");
    }
    if let Some(saved) = &board.saved {
        figures += &format!("  saved {saved}");
    }
    let state = if stopping { Some("saves and stops after this step") } else { board.busy };
    let mut last = vec![Span::from(figures)];
    last.extend(state.map(|state| Span::from(format!("  {state}")).yellow().bold()));
    lines.push(Line::from(last));
    lines
}

/// Name, bar, count and words on one line; a narrow one loses its bar first.
fn bar(name: &str, done: u64, total: u64, words: &str, width: u16) -> Line<'static> {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).clamp(0.0, 1.0) };
    let text = format!(" {done}/{total} {:.0} %  {words}", 100.0 * share);
    let room = (width as usize).saturating_sub(10 + text.chars().count()).min(40);
    let filled = (share * room as f64).round() as usize;
    Line::from(vec![
        Span::from(format!("{name:<9} ")).bold(),
        Span::from("━".repeat(filled)).cyan(),
        Span::from("━".repeat(room - filled)).dark_gray(),
        Span::from(text),
    ])
}

/// As many panels as there is room for, from the chosen one on.
fn draw_panels(board: &Board, view: View, tall: bool, area: Rect, to: &mut Buffer) {
    let panels = if tall { NOTES } else { NOTES + 1 };
    let columns = usize::from(area.width / PANEL.0).clamp(1, 3);
    let rows = usize::from(area.height / PANEL.1).clamp(1, panels.div_ceil(columns));
    // Chosen ones count from the first; where all are seen, nothing moves.
    let first = if rows * columns >= panels { 0 } else { view.panel.rem_euclid(panels as i32) as usize };
    let shown = panels.min(rows * columns);
    let mut next = 0;
    for row in Layout::vertical(vec![Constraint::Fill(1); rows]).split(area).iter() {
        let here = columns.min(shown - next);
        for cell in Layout::horizontal(vec![Constraint::Fill(1); here]).split(*row).iter() {
            match (first + next) % panels {
                NOTES => draw_notes(board, view.back, *cell, to),
                CODES => draw_codes(board.usage.as_ref(), *cell, to),
                curve => CURVES[curve].draw(board.records.iter(), *cell, to),
            }
            next += 1;
        }
    }
}

/// The newest notes at the bottom, `back` lines scrolled back.
fn draw_notes(board: &Board, back: usize, area: Rect, to: &mut Buffer) {
    let warnings = board.notes.iter().filter(|note| note.warning).count();
    let block = Block::bordered()
        .title(Span::from(format!(" notes, {warnings} warnings ")).bold())
        .border_style(Style::new().dark_gray());
    let inner = block.inner(area);
    block.render(area, to);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let wanted = inner.height as usize + back;
    // From the newest backwards, and no further than is seen.
    for note in board.notes.iter().rev() {
        let mut parts = wrapped(&note.text, inner.width as usize);
        parts.reverse();
        lines.extend(parts.into_iter().map(|part| {
            let line = Line::from(part);
            if note.warning { line.yellow() } else { line }
        }));
        if lines.len() >= wanted {
            break;
        }
    }
    let back = back.min(lines.len().saturating_sub(inner.height as usize));
    let mut seen: Vec<Line<'_>> = lines.into_iter().skip(back).take(inner.height as usize).collect();
    seen.reverse();
    Paragraph::new(seen).render(inner, to);
}

/// Lines of at most `width` letters, broken between words where they can be.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for (index, part) in letters.chunks(width).enumerate() {
            let Some(line) = lines.last_mut() else { continue };
            let used = line.chars().count();
            let space = usize::from(used > 0 && index == 0);
            if used + space + part.len() <= width {
                line.extend(std::iter::repeat_n(' ', space).chain(part.iter().copied()));
            } else {
                lines.push(part.iter().collect());
            }
        }
    }
    lines
}

fn footer(board: &Board, tall: bool) -> Vec<Line<'static>> {
    let keys = Line::from("q save and stop   Tab other panels   ↑↓ scroll notes");
    let folder = &board.folder;
    let mut lines = Vec::new();
    if tall {
        lines.push(Line::from(format!(
            "{folder}/  curves.png  log.jsonl  tensorboard/  evaluations/  checkpoints/"
        )));
    }
    lines.push(keys);
    lines
}
