//! Final figures with mean and spread, and every number of every run.

use anyhow::Result;
use cola_report::Table;

use crate::compare::group::Group;
use crate::compare::history::{History, SCORES};
use crate::quantities::QUANTITIES;

/// A row for each group: how far its runs are, and the mean of every figure at its last measurement in each run, with the
/// standard deviation over runs where there are several. A figure that a run lacks is left out of the mean.
///
/// # Errors
/// None in practice: every row has the header's length.
pub fn figures(groups: &[Group]) -> Result<Table> {
    let mut columns: Vec<(&str, Vec<String>)> = vec![
        ("group", groups.iter().map(|group| group.name.clone()).collect()),
        ("runs", groups.iter().map(|group| group.runs.len().to_string()).collect()),
        ("steps", groups.iter().map(steps).collect()),
    ];
    for quantity in &QUANTITIES {
        let last = |run: &History| run.records.iter().rev().find_map(quantity.of);
        columns.push((quantity.key, groups.iter().map(|group| spread(group, &last)).collect()));
    }
    for (index, score) in SCORES.iter().enumerate() {
        let last = |run: &History| run.last.map(|scores| scores[index]);
        columns.push((score.key, groups.iter().map(|group| spread(group, &last)).collect()));
    }
    // The name, and what any group has.
    columns.retain(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()));
    // A row for each figure: there are more of them than groups, mostly.
    let mut columns = columns.into_iter();
    let names = columns.next().map(|(_, names)| names).unwrap_or_default();
    let mut table = Table::new(std::iter::once("at the end".to_owned()).chain(names));
    for (key, cells) in columns {
        table.row(std::iter::once(key.to_owned()).chain(cells))?;
    }
    Ok(table)
}

/// Steps of the run that is least far, and of the one that is farthest.
fn steps(group: &Group) -> String {
    let steps = || group.runs.iter().map(|run| run.records.last().map_or(0, |record| record.step));
    match (steps().min().unwrap_or(0), steps().max().unwrap_or(0)) {
        (low, high) if low == high => high.to_string(),
        (low, high) => format!("{low} to {high}"),
    }
}

fn spread(group: &Group, value: &dyn Fn(&History) -> Option<f64>) -> String {
    let values: Vec<f64> = group.runs.iter().filter_map(value).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    match values.len() {
        0 => String::new(),
        1 => figure(mean),
        _ => {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
            format!("{} ± {}", figure(mean), figure(variance.sqrt()))
        }
    }
}

/// Four digits.
fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    match digits {
        0..=7 => format!("{value:.*}", digits as usize),
        ..0 => format!("{value:.0}"),
        _ => format!("{value:.3e}"),
    }
}

/// Every number: a row for each record of each run.
///
/// # Errors
/// None in practice: every row has the header's length.
pub fn every_number(groups: &[Group]) -> Result<Table> {
    let keys = QUANTITIES.iter().map(|quantity| quantity.key).chain(SCORES.iter().map(|score| score.key));
    let mut table = Table::new(["group", "run", "step", "phase"].into_iter().chain(keys));
    let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for group in groups {
        for run in &group.runs {
            for record in &run.records {
                let scores = run.evaluations.get(&record.step);
                let mut row = vec![
                    group.name.clone(),
                    run.folder.display().to_string(),
                    record.step.to_string(),
                    record.phase.clone(),
                ];
                row.extend(QUANTITIES.iter().map(|quantity| cell((quantity.of)(record))));
                row.extend((0..SCORES.len()).map(|index| cell(scores.map(|scores| scores[index]))));
                table.row(row)?;
            }
        }
    }
    Ok(table)
}
