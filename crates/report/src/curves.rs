//! Curves over training steps, as panels on a page.

use crate::axes::Axis;
use crate::font::Font;
use crate::plot::{Layout, Plot, Style};
use crate::{Color, Image};

/// Okabe and Ito's colors, which color-blind readers tell apart; without yellow, which white paper swallows.
const PALETTE: [Color; 7] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [0, 0, 0]];

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// `(x, y)` in the order of the line. The line has a gap where a number is not finite.
    pub points: Vec<(f64, f64)>,
    /// `(x, low, high)`: a faint band behind the line, such as the range of several runs around their mean. Empty: none.
    pub band: Vec<(f64, f64, f64)>,
}

impl Series {
    /// A curve with a name.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, band: Vec::new() }
    }

    /// With a band behind it.
    pub fn with_band(self, band: Vec<(f64, f64, f64)>) -> Self {
        Self { band, ..self }
    }
}

/// Where a phase of training starts: a dashed line from top to bottom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// The step; one outside of the curves is not drawn.
    pub x: f64,
    /// What starts there, written above the line.
    pub label: String,
}

impl Mark {
    /// A mark with a label.
    pub fn new(x: f64, label: impl Into<String>) -> Self {
        Self { x, label: label.into() }
    }
}

/// One plot: curves that share an axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Above the plot.
    pub title: String,
    /// Beside the plot, upwards.
    pub y_label: String,
    /// The curves. A legend names them if there is more than one.
    pub series: Vec<Series>,
    /// Where phases start.
    pub marks: Vec<Mark>,
    /// The range of the y axis; without it, that of the curves. A range that cannot be shown counts as none.
    pub y_range: Option<(f64, f64)>,
    /// A logarithmic y axis; leaves a gap where a curve is not above zero.
    pub log_y: bool,
}

impl Panel {
    /// A plot without curves.
    pub fn new(title: impl Into<String>, y_label: impl Into<String>) -> Self {
        Self { title: title.into(), y_label: y_label.into(), ..Self::default() }
    }

    /// With one more curve.
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }
}

/// Panels on white, `columns` of them in a row, all over the same range of x.
///
/// Series of one name have one color in all panels. A series of more than 200 points is drawn twice: as it is, but
/// faint, and as a strong moving average over a fortieth of its points, taken on the axis as drawn (of the logarithms
/// on a logarithmic one), never across a mark or a gap. Series of up to 30 points show their points.
pub fn curves(panels: &[Panel], columns: usize, x_label: &str) -> Image {
    let columns = columns.clamp(1, panels.len().max(1));
    let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let shown: Vec<f64> = points.filter(|(_, y)| y.is_finite()).map(|(x, _)| *x).collect();
    let last = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A phase begins before its first point, so marks to the left belong to the picture; what is still to come does not.
    let marks = panels.iter().flat_map(|panel| &panel.marks).map(|mark| mark.x).filter(|x| *x <= last);
    let x_axis = Axis::around(shown.iter().copied().chain(marks), 0.0, false);

    let plots: Vec<Plot<'_>> = panels
        .iter()
        .map(|panel| {
            let values = panel.series.iter().flat_map(|series| {
                let band = series.band.iter().flat_map(|(_, low, high)| [*low, *high]);
                series.points.iter().map(|(_, y)| *y).chain(band)
            });
            let fixed = panel.y_range.and_then(|range| Axis::fixed(range, panel.log_y));
            let y_axis = fixed.unwrap_or_else(|| Axis::around(values, 0.05, panel.log_y));
            let styles = panel.series.iter().map(|series| style(panels, series)).collect();
            Plot { panel, x_axis, y_axis, styles }
        })
        .collect();
    // One layout for all, so that axes line up across the page.
    let layout = Layout::for_all(&plots, if x_label.is_empty() { 0 } else { Font::Body.height() });

    let rows = panels.len().div_ceil(columns);
    let mut page = Image::new(columns * layout.width, rows.max(1) * layout.height, [255; 3]);
    for (index, plot) in plots.iter().enumerate() {
        plot.draw(
            &mut page,
            (index % columns * layout.width, index / columns * layout.height),
            &layout,
            x_label,
        );
    }
    page
}

/// A name's place among all names that some legend tells apart; a curve alone in its panel needs no color of its own.
fn style(panels: &[Panel], series: &Series) -> Style {
    let told_apart = panels.iter().filter(|panel| panel.series.len() > 1).flat_map(|panel| &panel.series);
    let mut names: Vec<&str> = Vec::new();
    for other in told_apart {
        if !names.contains(&other.name.as_str()) {
            names.push(&other.name);
        }
    }
    let place = names.iter().position(|name| *name == series.name).unwrap_or(0);
    Style { color: PALETTE[place % PALETTE.len()], dashed: place / PALETTE.len() % 2 == 1 }
}
