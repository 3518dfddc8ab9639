//! One panel on the page.

use crate::axes::Axis;
use crate::stroke::{Area, Point, Stroke};
use crate::{Color, Font, Image, Panel, Series};

const INK: Color = [38, 38, 38];
const SOFT: Color = [97, 97, 97];
const FRAME: Color = [120, 120, 120];
const GRID: Color = [230, 230, 230];

/// The plot itself, between its axes, pixels.
const PLOT: (usize, usize) = (640, 340);
/// Around a panel, pixels.
const MARGIN: usize = 18;
/// Between things that belong together, pixels.
const GAP: usize = 7;
/// From the start of a legend's line to its name, and to the next entry, pixels.
const SWATCH: usize = 30;
const ENTRY_GAP: usize = 22;

/// A series of more points than this is averaged; one of up to so many shows each of them.
const AVERAGED: usize = 200;
const DOTTED: usize = 30;

/// How a series is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) color: Color,
    pub(crate) dashed: bool,
}

/// A panel with its axes.
pub(crate) struct Plot<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) x_axis: Axis,
    pub(crate) y_axis: Axis,
    /// One a series.
    pub(crate) styles: Vec<Style>,
}

/// Where the parts of every panel lie, pixels from its top left corner.
pub(crate) struct Layout {
    /// Of a whole panel.
    pub(crate) width: usize,
    /// Of a whole panel.
    pub(crate) height: usize,
    plot: (usize, usize),
    marks: usize,
}

impl Layout {
    /// Room for the longest tick labels, the tallest legend and the most rows of mark labels.
    pub(crate) fn for_all(plots: &[Plot<'_>], x_label: usize) -> Self {
        let ticks = plots.iter().flat_map(|plot| plot.y_axis.ticks(5));
        let ticks = ticks.map(|(_, label)| Font::Body.width(&label)).max().unwrap_or(0);
        let has_label = plots.iter().any(|plot| !plot.panel.y_label.is_empty());
        let label = if has_label { Font::Body.height() + GAP } else { 0 };
        let legend = plots.iter().map(Plot::legend_height).max().unwrap_or(0);
        let mark_rows = plots.iter().flat_map(Plot::marks).map(|(row, ..)| row + 1).max().unwrap_or(0);

        let marks = MARGIN + Font::Title.height() + GAP + legend;
        let plot = (
            MARGIN + label + ticks + GAP,
            marks + mark_rows * Font::Small.height() + if mark_rows > 0 { GAP } else { 0 },
        );
        let height = plot.1 + PLOT.1 + GAP + Font::Body.height() + x_label + MARGIN;
        // Half of the last tick's label stands out at the right.
        Self { width: plot.0 + PLOT.0 + MARGIN + 2 * Font::Body.advance(), height, plot, marks }
    }
}

impl Plot<'_> {
    pub(crate) fn draw(&self, page: &mut Image, corner: (usize, usize), layout: &Layout, x_label: &str) {
        let (left, top) = (corner.0 + layout.plot.0, corner.1 + layout.plot.1);
        let area = Area { left, top, width: PLOT.0, height: PLOT.1 };
        // A panel with a shorter legend than others keeps its title next to the plot.
        let legend = corner.1 + layout.marks - self.legend_height();
        page.text(left, legend - GAP - Font::Title.height(), &self.panel.title, INK, Font::Title);
        self.draw_axes(page, area, corner.0 + MARGIN, x_label);
        self.draw_legend(page, left, legend);
        self.draw_marks(page, area, corner.1 + layout.marks);

        // All bands lie behind all lines.
        for (series, style) in self.panel.series.iter().zip(&self.styles) {
            self.draw_band(page, area, series, *style);
        }
        let mut empty = true;
        for (series, style) in self.panel.series.iter().zip(&self.styles) {
            let pieces = self.pieces(series, area);
            empty &= pieces.is_empty();
            Self::draw_series(page, area, &pieces, *style);
        }
        if empty {
            let x = left + (PLOT.0 - Font::Body.width("no data")) / 2;
            page.text(x, top + (PLOT.1 - Font::Body.height()) / 2, "no data", FRAME, Font::Body);
        }
    }

    fn draw_axes(&self, page: &mut Image, area: Area, edge: usize, x_label: &str) {
        let below = area.top + PLOT.1 + GAP;
        for (share, label) in self.y_axis.ticks(5) {
            let y = area.top + ((1.0 - share) * (PLOT.1 - 1) as f64).round() as usize;
            page.fill(area.left, y, PLOT.0, 1, GRID);
            let x = area.left - GAP - Font::Body.width(&label);
            page.text(x, y - Font::Body.height() / 2, &label, SOFT, Font::Body);
        }
        for (share, label) in self.x_axis.ticks(5) {
            let x = area.left + (share * (PLOT.0 - 1) as f64).round() as usize;
            page.fill(x, area.top, 1, PLOT.1, GRID);
            page.text(x.saturating_sub(Font::Body.width(&label) / 2), below, &label, SOFT, Font::Body);
        }
        page.fill(area.left - 1, area.top, 2, PLOT.1 + 1, FRAME);
        page.fill(area.left - 1, area.top + PLOT.1 - 1, PLOT.0 + 1, 2, FRAME);
        let x = area.left + PLOT.0.saturating_sub(Font::Body.width(x_label)) / 2;
        page.text(x, below + Font::Body.height(), x_label, INK, Font::Body);
        let y = area.top + PLOT.1.saturating_sub(Font::Body.width(&self.panel.y_label)) / 2;
        page.text_upwards(edge, y, &self.panel.y_label, INK, Font::Body);
    }

    fn draw_legend(&self, page: &mut Image, left: usize, top: usize) {
        for ((row, x, name), style) in self.legend().into_iter().zip(&self.styles) {
            let (x, y) = (left + x, top + row * Font::Body.height());
            let middle = (y + Font::Body.height() / 2) as f64 + 0.5;
            let area = Area { left: x, top: y, width: SWATCH, height: Font::Body.height() };
            let mut stroke = Stroke::within(area);
            style.draw(&mut stroke, &[(x as f64 + 2.0, middle), ((x + SWATCH) as f64 - 8.0, middle)], 3.0);
            stroke.paint(page, style.color, 1.0);
            page.text(x + SWATCH, y, name, INK, Font::Body);
        }
    }

    fn draw_marks(&self, page: &mut Image, area: Area, top: usize) {
        for (row, x, label_x, label) in self.marks() {
            let y = top + row * Font::Small.height();
            page.text(area.left + label_x, y, label, SOFT, Font::Small);
            let strip =
                Area { left: (area.left + x).saturating_sub(2), top: area.top, width: 5, height: PLOT.1 };
            let middle = (area.left + x) as f64 + 0.5;
            let mut stroke = Stroke::within(strip);
            stroke.dashes(&[(middle, area.top as f64), (middle, (area.top + PLOT.1) as f64)], 1.2, 6.0, 5.0);
            stroke.paint(page, SOFT, 0.9);
        }
    }

    /// Row, x and name of each entry; none where a legend would tell nothing apart.
    fn legend(&self) -> Vec<(usize, usize, &str)> {
        if self.panel.series.len() < 2 {
            return Vec::new();
        }
        let (mut row, mut x) = (0, 0);
        let mut entries = Vec::new();
        for series in &self.panel.series {
            let width = SWATCH + Font::Body.width(&series.name);
            if x > 0 && x + width > PLOT.0 {
                (row, x) = (row + 1, 0);
            }
            entries.push((row, x, series.name.as_str()));
            x += width + ENTRY_GAP;
        }
        entries
    }

    fn legend_height(&self) -> usize {
        self.legend().last().map_or(0, |(row, ..)| (row + 1) * Font::Body.height() + GAP)
    }

    /// Row, x of the line, x of the label and the label of each mark on the axis; rows keep labels apart.
    fn marks(&self) -> Vec<(usize, usize, usize, &str)> {
        let mut ends: Vec<usize> = Vec::new();
        let mut marks = Vec::new();
        for mark in &self.panel.marks {
            let Some(share) = self.x_axis.place(mark.x).filter(|share| (0.0..=1.0).contains(share)) else {
                continue;
            };
            let x = (share * (PLOT.0 - 1) as f64).round() as usize;
            let width = Font::Small.width(&mark.label);
            let label_x = x.min(PLOT.0.saturating_sub(width));
            let row = ends.iter().position(|end| *end <= label_x).unwrap_or(ends.len());
            let end = label_x + width + Font::Small.advance();
            match ends.get_mut(row) {
                Some(old) => *old = end,
                None => ends.push(end),
            }
            marks.push((row, x, label_x, mark.label.as_str()));
        }
        marks
    }

    /// The pieces of a series between gaps: each point's phase and its place, pixels.
    fn pieces(&self, series: &Series, area: Area) -> Vec<Vec<(usize, Point)>> {
        let mut pieces = vec![Vec::new()];
        for (x, y) in &series.points {
            match (self.x_axis.place(*x).zip(self.y_axis.place(*y)), pieces.last_mut()) {
                (Some((x_share, y_share)), Some(piece)) => {
                    let phase = self.panel.marks.iter().filter(|mark| mark.x <= *x).count();
                    let left = area.left as f64 + 0.5 + x_share * (area.width - 1) as f64;
                    let top = area.top as f64 + 0.5 + (1.0 - y_share) * (area.height - 1) as f64;
                    // What a fixed range cuts off may lie so far away that its slope is lost to rounding.
                    piece.push((phase, (left, top.clamp(-1e6, 1e6))));
                }
                _ => pieces.push(Vec::new()),
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// Fills each column of pixels between the lower and the upper edge; a column between two points lies between both.
    fn draw_band(&self, page: &mut Image, area: Area, series: &Series, style: Style) {
        let corner = |(x, low, high): &(f64, f64, f64)| {
            let x = self.x_axis.place(*x)?;
            // An edge that a logarithmic axis cannot show lies below it.
            let low = self.y_axis.place(*low).unwrap_or(0.0);
            Some((
                x * (area.width - 1) as f64,
                low.clamp(0.0, 1.0),
                self.y_axis.place(*high)?.clamp(0.0, 1.0),
            ))
        };
        let corners: Vec<_> = series.band.iter().filter_map(corner).collect();
        for pair in corners.windows(2) {
            let ((left, low, high), (right, next_low, next_high)) = (pair[0], pair[1]);
            // Half open, so that a column belongs to one pair alone.
            for column in left.ceil().max(0.0) as usize..(right.ceil().max(0.0) as usize).min(area.width) {
                let share = if right > left { (column as f64 - left) / (right - left) } else { 0.0 };
                let row = |from: f64, to: f64| {
                    ((1.0 - from - share * (to - from)) * (area.height - 1) as f64).round() as usize
                };
                for row in row(high, next_high)..=row(low, next_low) {
                    page.blend(area.left + column, area.top + row, style.color, 0.18);
                }
            }
        }
    }

    fn draw_series(page: &mut Image, area: Area, pieces: &[Vec<(usize, Point)>], style: Style) {
        // Ends and dots may stand out of the plot by their own width.
        let around =
            Area { left: area.left - 3, top: area.top - 3, width: area.width + 6, height: area.height + 6 };
        let count: usize = pieces.iter().map(Vec::len).sum();
        let places = |piece: &[(usize, Point)]| piece.iter().map(|(_, place)| *place).collect::<Vec<_>>();
        if count > AVERAGED {
            let (mut raw, mut average) = (Stroke::within(around), Stroke::within(around));
            for piece in pieces {
                raw.line(&thinned(&places(piece)), 1.3);
                for phase in piece.chunk_by(|one, next| one.0 == next.0) {
                    style.draw(&mut average, &thinned(&averaged(&places(phase), count / 40)), 2.6);
                }
            }
            raw.paint(page, style.color, 0.25);
            average.paint(page, style.color, 1.0);
        } else {
            let mut line = Stroke::within(around);
            for piece in pieces {
                let piece = places(piece);
                style.draw(&mut line, &piece, 2.4);
                for place in piece.iter().filter(|_| count <= DOTTED || piece.len() == 1) {
                    line.line(&[*place], 6.5);
                }
            }
            line.paint(page, style.color, 1.0);
        }
    }
}

impl Style {
    fn draw(self, stroke: &mut Stroke, points: &[Point], width: f64) {
        match self.dashed {
            true => stroke.dashes(points, width, 9.0, 6.0),
            false => stroke.line(points, width),
        }
    }
}

/// The mean of `window` points around each one.
///
/// Towards the ends, where points on one side are missing, it is the height there of the line that fits the window
/// best: a mean of fewer points would jump about, one of a lopsided window would lag behind a slope.
fn averaged(points: &[Point], window: usize) -> Vec<Point> {
    let half = window / 2;
    // Running sums of the heights, and of the heights times their index, make this as fast for any window.
    let mut sums = vec![(0.0, 0.0)];
    sums.extend(points.iter().enumerate().scan((0.0, 0.0), |(heights, moments), (index, (_, y))| {
        *heights += y;
        *moments += index as f64 * y;
        Some((*heights, *moments))
    }));
    let fit = |index: usize| {
        let (start, end) = (index.saturating_sub(half), (index + half + 1).min(points.len()));
        let (heights, moments) = (sums[end].0 - sums[start].0, sums[end].1 - sums[start].1);
        let count = (end - start) as f64;
        let middle = (start + end - 1) as f64 / 2.0;
        // Over whole numbers, the squared distances from the middle sum to this.
        let spread = count * (count * count - 1.0) / 12.0;
        let slope = (moments - middle * heights) / spread.max(1.0);
        heights / count + slope * (index as f64 - middle)
    };
    points.iter().enumerate().map(|(index, (x, _))| (*x, fit(index))).collect()
}

/// The first, lowest, highest and last point of each column of pixels: all that can be seen of it.
fn thinned(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|one, next| one.0.floor() == next.0.floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let by_height = |one: &&Point, other: &&Point| one.1.total_cmp(&other.1);
        kept.extend(column.first());
        kept.extend(column.iter().min_by(by_height));
        kept.extend(column.iter().max_by(by_height));
        kept.extend(column.last());
    }
    kept
}
