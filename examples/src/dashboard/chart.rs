//! Curves and bars in a panel of the dashboard.

use cola_coevolve::Record;
use cola_lam::CodebookUsage;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Sparkline, Widget};

/// One color a curve of a panel.
const COLORS: [Color; 4] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta];

/// Curves over the steps of the records.
pub struct Curves {
    /// Above the plot.
    pub title: &'static str,
    /// A logarithmic y axis.
    pub log: bool,
    /// Name and value of each curve.
    pub curves: &'static [(&'static str, Value)],
}

/// Reads a figure from a record.
pub type Value = fn(&Record) -> Option<f64>;

/// The panels with curves.
pub const CURVES: [Curves; 4] = [
    Curves {
        title: "loss",
        log: true,
        curves: &[("flow", |record| record.flow), ("reconstruction", |record| record.reconstruction)],
    },
    Curves {
        title: "codes",
        log: false,
        curves: &[
            ("in use", |record| Some(record.codes.as_ref()?.pooled.utilization)),
            ("most frequent", |record| Some(record.codes.as_ref()?.pooled.max_usage)),
            ("entropy / max", |record| Some(record.codes.as_ref()?.pooled.normalised)),
        ],
    },
    Curves { title: "sensitivity", log: false, curves: &[("shuffled - true", |record| record.sensitivity)] },
    Curves {
        title: "gradient",
        log: true,
        curves: &[
            ("all", |record| Some(record.gradient_norm)),
            ("IDM: prediction", |record| record.idm_gradient_prediction),
            ("IDM: quantizer", |record| record.idm_gradient_vq),
        ],
    },
];

impl Curves {
    /// Draws the curves with their last values as the legend.
    pub fn draw<'a>(&self, records: impl Iterator<Item = &'a Record> + Clone, area: Rect, to: &mut Buffer) {
        let scale = |value: f64| if self.log { value.log10() } else { value };
        let mut title = vec![Span::from(format!(" {} ", self.title)).bold()];
        let mut lines = Vec::new();
        for ((name, value), color) in self.curves.iter().zip(COLORS) {
            let point = |record: &Record| Some((record.step as f64, scale(value(record)?)));
            let points: Vec<(f64, f64)> =
                records.clone().filter_map(point).filter(|(_, y)| y.is_finite()).collect();
            let Some(last) = records.clone().filter_map(*value).last() else { continue };
            title.push(Span::styled(format!("{name} {} ", short(last)), color));
            lines.push((points, color));
        }
        let block = Block::bordered().title(Line::from(title)).border_style(Style::new().dark_gray());
        let all = || lines.iter().flat_map(|(points, _)| points);
        let Some(x) = range(all().map(|(x, _)| *x), 0.0) else {
            Paragraph::new("no data yet").dark_gray().block(block).render(area, to);
            return;
        };
        let y = range(all().map(|(_, y)| *y), 0.05).unwrap_or([0.0, 1.0]);
        let value = |y: f64| Span::from(short(if self.log { 10f64.powf(y) } else { y }));
        let (first, last) = (format!("{:.0}", x[0].max(0.0)), format!("{:.0}", x[1]));
        let datasets = lines.iter().map(|(points, color)| {
            let dots = if points.len() < 2 { GraphType::Scatter } else { GraphType::Line };
            Dataset::default().marker(Marker::Braille).graph_type(dots).style(*color).data(points)
        });
        let axis = || Axis::default().style(Style::new().dark_gray());
        Chart::new(datasets.collect())
            .block(block)
            .legend_position(None)
            .x_axis(axis().bounds(x).labels([first, last]))
            .y_axis(axis().bounds(y).labels([value(y[0]), value(0.5 * (y[0] + y[1])), value(y[1])]))
            .render(area, to);
    }
}

/// From the smallest to the largest number, with room at both ends; never empty.
fn range(values: impl Iterator<Item = f64>, pad: f64) -> Option<[f64; 2]> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return None;
    }
    let room = match high > low {
        true => pad * (high - low),
        false if low == 0.0 => 1.0,
        false => 0.5 * low.abs(),
    };
    Some([low - room, high + room])
}

/// A number in at most eight letters.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        0.001..10_000.0 => {
            let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 5) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.1e}"),
    }
}

/// How often each code occurs, a row for each position.
pub fn draw_codes(usage: Option<&CodebookUsage>, area: Rect, to: &mut Buffer) {
    let block = Block::bordered()
        .title(Span::from(" codes by position ").bold())
        .border_style(Style::new().dark_gray());
    let inner = block.inner(area);
    block.render(area, to);
    let Some(usage) = usage.filter(|usage| usage.positions() > 0 && usage.samples() > 0) else {
        Paragraph::new("no data yet").dark_gray().render(inner, to);
        return;
    };
    // Two lines each where there is room for no more: the words, and the bars below them.
    let shown = usage.positions().min((inner.height as usize / 2).max(1));
    let rows = Layout::vertical(vec![Constraint::Fill(1); shown]).split(inner);
    for (position, row) in rows.iter().enumerate() {
        let figures = usage.position(position);
        let words = format!(
            "{position}: {:.0} of {} in use, most {:.0} %",
            figures.utilization * usage.entries() as f64,
            usage.entries(),
            100.0 * figures.max_usage
        );
        let [head, bars] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(*row);
        Paragraph::new(words).render(head, to);
        let data = spread(&usage.histogram(position), bars.width as usize);
        Sparkline::default().style(COLORS[position % COLORS.len()]).data(data).render(bars, to);
    }
}

/// Counts over `width` columns: each repeated where there is room, neighbours added up where there is not.
fn spread(counts: &[u64], width: usize) -> Vec<u64> {
    match width / counts.len().max(1) {
        0 => counts.chunks(counts.len().div_ceil(width.max(1))).map(|part| part.iter().sum()).collect(),
        times => counts.iter().flat_map(|count| std::iter::repeat_n(*count, times)).collect(),
    }
}
