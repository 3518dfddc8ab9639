//! `dataset inspect`: what is in a dataset.

use anyhow::Result;
use cola_report::{Histogram, histograms};

use crate::dataset::args::InspectArgs;
use crate::dataset::numbers::Numbers;
use crate::dataset::sheet;
use crate::dataset::source::Source;
use crate::dataset::summary::Summary;
use crate::lam::model::result_folder;
use crate::output::write;

/// Intervals of a histogram.
const BINS: usize = 40;
/// Histograms on a page.
const PANELS: usize = 48;

/// Prints what there is and writes sheet, histograms and numbers.
///
/// # Errors
/// A dataset or folder that will not do.
pub fn run(args: &InspectArgs) -> Result<()> {
    let source = Source::open(&args.data)?;
    let (summary, actions) = Summary::of(&source, args.data.split.as_deref())?;
    summary.print()?;
    let folder = result_folder(args.out.as_deref(), "dataset-inspect")?;
    write(&folder.join("inspect.json"), &serde_json::to_vec_pretty(&summary)?)?;
    let mut written = vec!["inspect.json"];
    if summary.action_dim > 0 {
        histograms(&panels(&actions), columns(summary.action_dim)).save_png(folder.join("actions.png"))?;
        written.push("actions.png");
    }
    let part = summary.split.as_ref().map_or_else(String::new, |split| format!(", split {split}"));
    let title = format!("{}{part}: {} episodes, {} frames", summary.name, summary.episodes, summary.frames);
    sheet::draw(&source, &title, args.episodes, args.frames)?.save_png(folder.join("sheet.png"))?;
    written.push("sheet.png");
    println!("output     {}: {}", folder.display(), written.join(", "));
    Ok(())
}

/// A histogram of each component, over a sample of the rows; the words are those of all rows.
fn panels(actions: &Numbers) -> Vec<Histogram> {
    let panel = |(index, part): (usize, &crate::dataset::numbers::Component)| {
        let note = match (part.min, part.max) {
            (Some(min), Some(max)) => {
                format!("{min:.3} to {max:.3}, mean {:.3}, std {:.3}", part.mean, part.std)
            }
            _ => "no finite number".into(),
        };
        let broken =
            if part.non_finite > 0 { format!(", {} not finite", part.non_finite) } else { String::new() };
        Histogram::of(format!("action {index}{broken}"), note, actions.sample(index), BINS)
    };
    actions.components.iter().enumerate().take(PANELS).map(panel).collect()
}

/// Columns that make the page about as wide as high.
fn columns(panels: usize) -> usize {
    match panels.min(PANELS) {
        0..=3 => panels.max(1),
        4 => 2,
        5..=9 => 3,
        10..=24 => 4,
        _ => 6,
    }
}
