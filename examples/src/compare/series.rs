//! One figure of a group over its steps.

use std::collections::BTreeMap;

use cola_report::{Mark, Panel, Series};

use crate::compare::group::Group;
use crate::compare::history::{History, SCORES};
use crate::quantities::QUANTITIES;

/// A panel without marks for each figure that any group has, in the order of the quantities, a curve for each group.
pub fn panels(groups: &[Group]) -> Vec<Panel> {
    let shared = |panel: &str| QUANTITIES.iter().filter(|quantity| quantity.panel == panel).count() > 1;
    let mut panels = Vec::new();
    for quantity in &QUANTITIES {
        let title = match shared(quantity.panel) {
            true => format!("{}: {}", quantity.panel, quantity.name),
            false => quantity.panel.to_owned(),
        };
        let curve = |run: &History| -> BTreeMap<u64, f64> {
            run.records.iter().filter_map(|r| Some((r.step, (quantity.of)(r)?))).collect()
        };
        panels.push(with_groups(quantity.panel(&title), groups, &curve));
    }
    for (index, score) in SCORES.iter().enumerate() {
        let curve = |run: &History| -> BTreeMap<u64, f64> {
            run.evaluations.iter().map(|(step, scores)| (*step, scores[index])).collect()
        };
        panels.push(with_groups(Panel::new(score.title, "dB"), groups, &curve));
    }
    panels.retain(|panel| !panel.series.is_empty());
    let marks = phases(groups);
    panels.iter_mut().for_each(|panel| panel.marks.clone_from(&marks));
    panels
}

fn with_groups(panel: Panel, groups: &[Group], curve: &dyn Fn(&History) -> BTreeMap<u64, f64>) -> Panel {
    groups.iter().fold(panel, |panel, group| {
        let curves: Vec<BTreeMap<u64, f64>> = group.runs.iter().map(curve).collect();
        let series = mean(&group.name, &curves);
        if series.points.is_empty() { panel } else { panel.with(series) }
    })
}

/// The mean of several curves, with their range as a band, at the steps that all of them have: a run that is behind ends
/// the curve of its group, for a mean over other runs than before would jump.
pub fn mean(name: &str, curves: &[BTreeMap<u64, f64>]) -> Series {
    let Some(first) = curves.first() else { return Series::new(name, Vec::new()) };
    let (mut points, mut band) = (Vec::new(), Vec::new());
    for step in first.keys() {
        let values: Option<Vec<f64>> = curves.iter().map(|curve| curve.get(step).copied()).collect();
        let Some(values) = values else { continue };
        points.push((*step as f64, values.iter().sum::<f64>() / values.len() as f64));
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        band.push((*step as f64, low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)));
    }
    let series = Series::new(name, points);
    if curves.len() > 1 { series.with_band(band) } else { series }
}

/// Where the phases begin, if that is the same for all runs as far as each has come.
fn phases(groups: &[Group]) -> Vec<Mark> {
    let mut longest: Vec<Mark> = Vec::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        let marks = run.phases();
        let common = marks.len().min(longest.len());
        if marks[..common] != longest[..common] {
            return Vec::new();
        }
        if marks.len() > longest.len() {
            longest = marks;
        }
    }
    longest
}
