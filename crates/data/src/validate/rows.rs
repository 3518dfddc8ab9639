//! Checks of times, actions and states.

use std::collections::BTreeSet;

use super::runs::{runs, told};
use super::{Finding, Place, Severity, ValidateOptions, What, whole};
use crate::Error;
use crate::dataset::{Dataset, Rows};

/// Share by which the rate of the times may differ from the one that the data set tells.
const RATE: f64 = 0.05;

/// The rows of some episodes: all at once, or one by one if that fails, so that a damaged episode stands alone.
pub(super) fn of(dataset: &dyn Dataset, places: &[Place<'_>]) -> Vec<Result<Rows, Error>> {
    let numbers: Vec<usize> = places.iter().map(|place| place.number).collect();
    match dataset.rows(&numbers) {
        Ok(found) if found.len() == numbers.len() => found.into_iter().map(Ok).collect(),
        _ => numbers
            .iter()
            .map(|&number| Ok(dataset.rows(&[number])?.into_iter().next().unwrap_or_default()))
            .collect(),
    }
}

/// What is wrong with the rows of an episode.
pub(super) fn check(place: Place<'_>, rows: &Rows, options: &ValidateOptions) -> Vec<Finding> {
    let frames = place.episode.frames;
    if frames == 0 {
        return vec![place.finding(Severity::Error, What::Length, None, "no frames")];
    }
    let mut found = Vec::new();
    for (what, count, each) in [
        ("times", rows.times.len(), 1),
        ("actions", rows.actions.len(), rows.action_dim),
        ("states", rows.states.len(), rows.state_dim),
    ] {
        if frames.checked_mul(each) != Some(count) {
            let message = match count.is_multiple_of(each.max(1)) {
                true => format!("{} rows of {what}, {frames} frames", count / each.max(1)),
                false => format!("{count} values of {what}, expected {each} for each of {frames} frames"),
            };
            found.push(place.finding(Severity::Error, What::Length, None, message));
        }
    }
    found.extend(times(place, rows, options));
    found.extend(values(place, What::Actions, &rows.actions, rows.action_dim));
    found.extend(values(place, What::States, &rows.states, rows.state_dim));
    found
}

fn times(place: Place<'_>, rows: &Rows, options: &ValidateOptions) -> Vec<Finding> {
    let times = &rows.times;
    let unknown = runs((0..times.len()).filter(|&row| !times[row].is_finite()));
    let mut found: Vec<Finding> = told(unknown)
        .into_iter()
        .map(|(run, words)| {
            place.finding(
                Severity::Error,
                What::Times,
                Some(run),
                format!("{words}: the time is no finite number"),
            )
        })
        .collect();
    // What follows a time that is no number is judged by neither comparison.
    let back = runs((1..times.len()).filter(|&row| times[row] <= times[row - 1]));
    found.extend(told(back).into_iter().map(|(run, words)| {
        let (before, at) = (times[run.start - 1], times[run.start]);
        let message = format!("{words}: time does not ascend, {at} s after {before} s");
        place.finding(Severity::Error, What::Times, Some(run), message)
    }));
    let mut steps: Vec<f64> =
        times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.0).collect();
    steps.sort_by(f64::total_cmp);
    let Some(&median) = steps.get(steps.len() / 2) else { return found };
    let gaps = runs((1..times.len()).filter(|&row| times[row] - times[row - 1] > options.gap * median));
    found.extend(told(gaps).into_iter().map(|(run, words)| {
        let step = times[run.start] - times[run.start - 1];
        let message = format!("{words}: a gap of {step:.3} s before it, the usual step is {median:.3} s");
        place.finding(Severity::Warning, What::Gap, Some(run), message)
    }));
    // Of a varying rate the data set tells the mean; behind a gap only the usual step is to be trusted.
    let span = times[times.len() - 1] - times[0];
    let told = [1.0 / median, (times.len() - 1) as f64 / span];
    if let Some(rate) = place.episode.rate
        && told.iter().all(|told| (told / rate - 1.0).abs() > RATE)
    {
        let message = format!("the times tell {:.3} frames per second, the data set {rate:.3}", told[0]);
        found.push(place.finding(Severity::Warning, What::Rate, None, message));
    }
    found
}

/// Values that are no finite numbers.
fn values(place: Place<'_>, what: What, values: &[f32], dim: usize) -> Vec<Finding> {
    if dim == 0 {
        return Vec::new();
    }
    let broken = |row: &[f32]| row.iter().any(|value| !value.is_finite());
    let last = place.episode.frames - 1;
    let rows = values.chunks(dim).enumerate().filter(|(_, row)| broken(row)).map(|(row, _)| row);
    // The last action shows in no picture: some writers leave it open, and no clip has it.
    let (open, rows): (Vec<usize>, Vec<usize>) = rows.partition(|&row| what == What::Actions && row == last);
    let noun = if what == What::Actions { "action" } else { "state" };
    let finding = |(run, words): (std::ops::Range<usize>, String), severity, note: &str| {
        let components: Vec<String> = (0..dim)
            .filter(|&at| values.get(run.start * dim + at).is_some_and(|value| !value.is_finite()))
            .take(8)
            .map(|at| format!("{at} is {}", values[run.start * dim + at]))
            .collect();
        let message = format!(
            "{words}: {noun} with a value that is not finite (component {}){note}",
            components.join(", ")
        );
        place.finding(severity, what, Some(run), message)
    };
    let mut found: Vec<Finding> =
        told(runs(rows)).into_iter().map(|run| finding(run, Severity::Error, "")).collect();
    let note = "; the last action leads to no picture and is not used";
    found.extend(told(runs(open)).into_iter().map(|run| finding(run, Severity::Warning, note)));
    found
}

/// Whether every action of a data set is the same.
#[derive(Default)]
pub(super) struct Constant {
    first: Option<Vec<f32>>,
    rows: usize,
    differs: bool,
    /// Every size that was seen.
    sizes: BTreeSet<usize>,
}

impl Constant {
    pub(super) fn add(&mut self, rows: &Rows) {
        self.sizes.insert(rows.action_dim);
        if rows.action_dim == 0 {
            return;
        }
        for action in rows.actions.chunks_exact(rows.action_dim) {
            self.rows += 1;
            self.differs |= self.first.get_or_insert_with(|| action.to_vec()) != action;
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        let sizes = (self.sizes.len() > 1).then(|| {
            let message = format!(
                "actions of {:?} numbers, expected one size in all episodes; divide the data set, or drop some",
                self.sizes
            );
            whole::finding(Severity::Error, What::ActionSize, message)
        });
        sizes.into_iter().chain(self.constant()).collect()
    }

    fn constant(&self) -> Option<Finding> {
        let first = self.first.as_ref().filter(|_| self.rows > 1 && !self.differs)?;
        let shown: Vec<String> = first.iter().take(8).map(f32::to_string).collect();
        let more = if first.len() > shown.len() { ", ..." } else { "" };
        let message = format!(
            "all {} actions are the same ([{}{more}]): they tell nothing; another field may hold the actions",
            self.rows,
            shown.join(", ")
        );
        Some(whole::finding(Severity::Warning, What::ConstantActions, message))
    }
}
