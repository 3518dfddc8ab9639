//! `curves.png`, `rollouts.gif`, `rollouts.png`, the table of scores.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use cola_coevolve::{Evaluation, Pictures, Plan, Record, Scores};
use cola_report::{Image, JsonLines, Mark, Panel, Series, Table, curves, save_gif, side_by_side, strip};

/// Rollouts shown.
const SHOWN: usize = 4;

/// Losses, codes and sensitivity over the steps of a run, from its log.
///
/// # Errors
/// A damaged log, the disk's.
pub fn write_curves(log: &Path, plan: &Plan, file: &Path) -> Result<()> {
    let records = JsonLines::read(log)?
        .into_iter()
        .map(serde_json::from_value)
        .collect::<Result<Vec<Record>, _>>()
        .with_context(|| format!("{}: a line is no record of this program's version", log.display()))?;
    let series = |name: &str, value: &dyn Fn(&Record) -> Option<f64>| {
        Series::new(name, records.iter().filter_map(|r| Some((r.step as f64, value(r)?))).collect())
    };
    let of_position =
        |position: usize| move |r: &Record| Some(r.codes.as_ref()?.positions.get(position)?.max_usage);
    let count = records.iter().filter_map(|r| r.codes.as_ref()).map(|codes| codes.positions.len()).max();
    let mut positions =
        Panel { y_range: Some((0.0, 1.0)), ..Panel::new("Most frequent code at each position", "share") };
    for position in 0..count.unwrap_or(0) {
        positions = positions.with(series(&format!("position {position}"), &of_position(position)));
    }
    let mut panels = vec![
        Panel { log_y: true, ..Panel::new("Losses", "mean squared error") }
            .with(series("flow", &|r| r.flow))
            .with(series("LAM reconstruction", &|r| r.reconstruction)),
        Panel { y_range: Some((0.0, 1.0)), ..Panel::new("Codebook use, positions pooled", "share") }
            .with(series("codes in use", &|r| Some(r.codes.as_ref()?.pooled.utilization)))
            .with(series("most frequent code", &|r| Some(r.codes.as_ref()?.pooled.max_usage))),
        Panel::new("Entropy of the codes", "nats")
            .with(series("pooled", &|r| Some(r.codes.as_ref()?.pooled.entropy)))
            .with(series("whole action", &|r| Some(r.codes.as_ref()?.joint.entropy))),
        positions,
        Panel { log_y: true, ..Panel::new("Gradient on the inverse dynamics model", "norm") }
            .with(series("prediction", &|r| r.idm_gradient_prediction))
            .with(series("quantizer", &|r| r.idm_gradient_vq)),
        Panel::new("Action sensitivity, held-out clips", "flow loss, shuffled - true")
            .with(series("sensitivity", &|r| r.sensitivity)),
    ];
    for panel in &mut panels {
        panel.series.retain(|series| !series.points.is_empty());
    }
    panels.retain(|panel| !panel.series.is_empty());
    let mut first = 0;
    for phase in plan.phases() {
        for panel in &mut panels {
            panel.marks.push(Mark::new(first as f64, phase.to_string()));
        }
        first += phase.steps;
    }
    curves(&panels, 2, "optimizer step").save_png(file)?;
    Ok(())
}

/// The frames of clip `index` of `(B, T, 3, H, W)` in `[0, 1]`.
pub(crate) fn images(videos: &Tensor, index: usize) -> Result<Vec<Image>> {
    let (_, frames, _, height, width) = videos.dims5()?;
    let bytes = ((videos.get(index)?.permute((0, 2, 3, 1))? * 255.0)? + 0.5)?
        .clamp(0f32, 255f32)?
        .to_dtype(DType::U8)?;
    (0..frames)
        .map(|t| Ok(Image::from_rgb(width, height, bytes.get(t)?.flatten_all()?.to_vec1()?)?))
        .collect()
}

/// Truth, rollout and rollout with shuffled actions: a looping GIF side by side, and a strip of all frames.
///
/// # Errors
/// The disk's.
pub fn write_rollouts(pictures: &Pictures, gif: &Path, png: &Path) -> Result<()> {
    let kinds = [
        ("truth", &pictures.truth),
        ("true actions", &pictures.rollout),
        ("shuffled actions", &pictures.shuffled),
    ];
    let clips = pictures.truth.dim(0)?;
    let shown: Vec<usize> = (0..clips.min(SHOWN)).map(|i| i * clips / clips.min(SHOWN)).collect();
    let mut rows = Vec::new();
    for &clip in &shown {
        for (name, videos) in kinds {
            rows.push((format!("{} {name}", clip + 1), images(videos, clip)?));
        }
    }
    strip(&rows, 3)?.save_png(png)?;

    let frames = pictures.truth.dim(1)?;
    let gif_frames: Vec<Image> = (0..frames)
        .map(|t| {
            let columns: Vec<(String, Image)> = kinds
                .iter()
                .enumerate()
                .map(|(kind, (name, _))| {
                    let parts: Vec<&Image> = (0..shown.len()).map(|row| &rows[3 * row + kind].1[t]).collect();
                    (name.to_string(), stack(&parts))
                })
                .collect();
            side_by_side(&columns, 4)
        })
        .collect();
    save_gif(gif, &gif_frames, 400, 1200)?;
    Ok(())
}

/// Pictures of one size below each other.
fn stack(parts: &[&Image]) -> Image {
    let (width, height) = (parts[0].width, parts[0].height);
    let mut whole = Image::new(width, (height + 1) * parts.len() - 1, [24, 24, 28]);
    for (row, part) in parts.iter().enumerate() {
        whole.paste(0, row * (height + 1), part);
    }
    whole
}

/// The scores at every guidance scale as a table.
///
/// # Errors
/// None in practice: every row has the header's length.
pub fn score_table(evaluations: &[Evaluation]) -> Result<Table> {
    let mut table =
        Table::new(["PSNR, dB (pooled)", "guidance", "true actions", "shuffled", "zero", "repeat frame"]);
    for evaluation in evaluations {
        let rows: [(&str, &Scores); 3] = [
            ("one frame ahead", &evaluation.one_step),
            ("one frame, moving half", &evaluation.one_step_moving),
            ("rollout from one frame", &evaluation.rollout),
        ];
        for (name, scores) in rows {
            let number = |value: f64| format!("{value:.2}");
            table.row([
                name.to_string(),
                format!("{:.1}", evaluation.guidance),
                number(scores.true_actions),
                number(scores.shuffled),
                number(scores.zero),
                number(scores.copy),
            ])?;
        }
    }
    Ok(table)
}
