//! How often numbers occur, as panels of bars on a page.

use crate::axes::Axis;
use crate::{Color, Font, Image};

const GROUND: Color = [255; 3];
const INK: Color = [38, 38, 38];
const SOFT: Color = [97, 97, 97];
const FRAME: Color = [120, 120, 120];
const GRID: Color = [230, 230, 230];
const BAR: Color = [0, 114, 178];

/// The plot itself, pixels.
const PLOT: (usize, usize) = (320, 150);
/// Around a panel, pixels.
const MARGIN: usize = 14;
/// Between things that belong together, pixels.
const GAP: usize = 6;
/// Part of the plot's height that the tallest bar takes.
const TALLEST: f64 = 0.94;

/// Counts of numbers in intervals of equal width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Above the plot.
    pub title: String,
    /// Below the title: range, mean and the like.
    pub note: String,
    /// Lower end of the first interval and upper end of the last one.
    pub range: (f64, f64),
    /// Numbers in each interval.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Counts finite numbers from the smallest to the largest in `bins` intervals; equal numbers stand in the middle one.
    pub fn of(
        title: impl Into<String>,
        note: impl Into<String>,
        values: impl Iterator<Item = f64> + Clone,
        bins: usize,
    ) -> Self {
        let bins = bins.max(1);
        let values = values.filter(|value| value.is_finite());
        let (low, high) = values
            .clone()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let mut counts = vec![0; bins];
        let range = match low < high {
            true => (low, high),
            // One number, or none.
            false if low.is_finite() => (low - 0.5 * low.abs().max(1.0), low + 0.5 * low.abs().max(1.0)),
            false => (0.0, 1.0),
        };
        for value in values {
            let share = (value - range.0) / (range.1 - range.0);
            counts[((share * bins as f64) as usize).min(bins - 1)] += 1;
        }
        Self { title: title.into(), note: note.into(), range, counts }
    }
}

/// Panels on white, `columns` of them in a row. Each has axes of its own: bars show the share of the tallest one.
pub fn histograms(panels: &[Histogram], columns: usize) -> Image {
    let columns = columns.clamp(1, panels.len().max(1));
    let head = MARGIN + Font::Body.height() + Font::Small.height() + GAP;
    let (width, height) =
        (PLOT.0 + 2 * MARGIN + 2 * GAP, head + PLOT.1 + GAP + Font::Small.height() + MARGIN);
    let mut page = Image::new(columns * width, panels.len().div_ceil(columns).max(1) * height, GROUND);
    for (index, panel) in panels.iter().enumerate() {
        let corner = (index % columns * width + MARGIN + GAP, index / columns * height);
        draw(&mut page, panel, corner, head);
    }
    page
}

fn draw(page: &mut Image, panel: &Histogram, (left, top): (usize, usize), head: usize) {
    page.text(left, top + MARGIN, &fit(&panel.title, Font::Body), INK, Font::Body);
    page.text(left, top + MARGIN + Font::Body.height(), &fit(&panel.note, Font::Small), SOFT, Font::Small);
    let (top, base) = (top + head, top + head + PLOT.1);
    if let Some(axis) = Axis::fixed(panel.range, false) {
        for (share, label) in axis.ticks(4) {
            let x = left + (share * (PLOT.0 - 1) as f64).round() as usize;
            page.fill(x, top, 1, PLOT.1, GRID);
            let start = x.saturating_sub(Font::Small.width(&label) / 2);
            page.text(start, base + GAP, &label, SOFT, Font::Small);
        }
    }
    let most = panel.counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        let x = left + (PLOT.0 - Font::Body.width("no data")) / 2;
        page.text(x, top + (PLOT.1 - Font::Body.height()) / 2, "no data", FRAME, Font::Body);
    }
    let edge = |bin: usize| left + (bin * PLOT.0) / panel.counts.len();
    for (bin, &count) in panel.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // A rare number shows as well, if only as a line.
        let bar = ((count as f64 / most as f64) * TALLEST * PLOT.1 as f64).round().max(1.0) as usize;
        let (from, to) = (edge(bin), edge(bin + 1));
        // Where there is room, a pixel of ground keeps bars apart.
        let width = if to - from > 3 { to - from - 1 } else { (to - from).max(1) };
        page.fill(from, base - bar, width, bar, BAR);
    }
    page.fill(left, base, PLOT.0, 1, FRAME);
}

/// As much of a text as fits above the plot.
fn fit(text: &str, font: Font) -> String {
    let most = PLOT.0 / font.width("m");
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(2)).chain("..".chars()).collect(),
        false => text.to_owned(),
    }
}
