//! `curves.png`, `rollouts.gif`, `rollouts.png`, the table of scores.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use cola_coevolve::{Evaluation, Pictures, Plan, Record, Scores};
use cola_report::{Image, JsonLines, Mark, Panel, Series, Table, curves, save_gif, side_by_side, strip};

use crate::quantities::QUANTITIES;

/// Rollouts shown.
pub const SHOWN: usize = 4;

/// The records of a log, without a torn last line.
///
/// # Errors
/// A log that cannot be read, or a line that is no record: file and line are named.
pub fn read_log(log: &Path) -> Result<Vec<Record>> {
    let record = |(index, value)| {
        serde_json::from_value(value).with_context(|| {
            format!("{}:{}: not a record of this program's version", log.display(), index + 1)
        })
    };
    JsonLines::read(log)?.into_iter().enumerate().map(record).collect()
}

/// Losses, codes, gradients and sensitivity over the steps of a run, from its log.
///
/// # Errors
/// A damaged log, the disk's.
pub fn write_curves(log: &Path, plan: &Plan, file: &Path) -> Result<()> {
    let records = read_log(log)?;
    let series = |name: &str, value: &dyn Fn(&Record) -> Option<f64>| {
        Series::new(name, records.iter().filter_map(|r| Some((r.step as f64, value(r)?))).collect())
    };
    let mut panels: Vec<Panel> = Vec::new();
    for quantity in &QUANTITIES {
        let curve = series(quantity.name, &quantity.of);
        match panels.last_mut().filter(|panel| panel.title == quantity.panel) {
            Some(panel) => panel.series.push(curve),
            None => panels.push(quantity.panel(quantity.panel).with(curve)),
        }
    }
    let count = records.iter().filter_map(|r| r.codes.as_ref()).map(|codes| codes.positions.len()).max();
    let mut positions =
        Panel { y_range: Some((0.0, 1.0)), ..Panel::new("Most frequent code at each position", "share") };
    for position in 0..count.unwrap_or(0) {
        let most = move |r: &Record| Some(r.codes.as_ref()?.positions.get(position)?.max_usage);
        positions = positions.with(series(&format!("position {position}"), &most));
    }
    panels.push(positions);
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

/// Rows and columns of the rollouts that are shown.
pub struct Rollouts {
    /// Names of the three kinds.
    names: [&'static str; 3],
    /// Frames, `[clip][kind][frame]`.
    clips: Vec<[Vec<Image>; 3]>,
}

impl Rollouts {
    /// Up to [`SHOWN`] clips, spread evenly.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn of(pictures: &Pictures) -> Result<Self> {
        let count = pictures.truth.dim(0)?;
        let shown = count.min(SHOWN);
        let clip = |index: usize| -> Result<[Vec<Image>; 3]> {
            let clip = index * count / shown;
            Ok([
                images(&pictures.truth, clip)?,
                images(&pictures.rollout, clip)?,
                images(&pictures.shuffled, clip)?,
            ])
        };
        let clips = (0..shown).map(clip).collect::<Result<_>>()?;
        Ok(Self { names: ["truth", "true actions", "shuffled actions"], clips })
    }

    /// Pixels of a frame's longer side.
    fn side(&self) -> usize {
        let frames = self.clips.iter().flatten().flatten();
        frames.map(|frame| frame.width.max(frame.height)).max().unwrap_or(1).max(1)
    }

    /// All frames on one picture, a row for each clip and kind.
    ///
    /// # Errors
    /// No clip.
    pub fn strip(&self) -> Result<Image> {
        let mut rows = Vec::new();
        for (index, clip) in self.clips.iter().enumerate() {
            for (name, frames) in self.names.iter().zip(clip) {
                rows.push((format!("{} {name}", index + 1), frames.clone()));
            }
        }
        Ok(strip(&rows, (128 / self.side()).clamp(1, 3))?)
    }

    /// The frames of a film, the kinds beside each other.
    pub fn film(&self) -> Vec<Image> {
        let frames = self.clips.iter().flatten().map(Vec::len).min().unwrap_or(0);
        let scale = (128 / self.side()).clamp(1, 4);
        let frame = |t: usize| {
            let column = |(kind, name): (usize, &&str)| {
                let parts: Vec<&Image> = self.clips.iter().filter_map(|clip| clip[kind].get(t)).collect();
                (name.to_string(), stack(&parts))
            };
            side_by_side(&self.names.iter().enumerate().map(column).collect::<Vec<_>>(), scale)
        };
        (0..frames).map(frame).collect()
    }

    /// The film as a looping GIF.
    ///
    /// # Errors
    /// No clip, the disk's.
    pub fn write_gif(&self, file: &Path) -> Result<()> {
        Ok(save_gif(file, &self.film(), 400, 1200)?)
    }
}

/// Truth, rollout and rollout with shuffled actions: a looping GIF side by side, and a strip of all frames.
///
/// # Errors
/// The disk's.
pub fn write_rollouts(pictures: &Pictures, gif: &Path, png: &Path) -> Result<()> {
    let rollouts = Rollouts::of(pictures)?;
    rollouts.strip()?.save_png(png)?;
    rollouts.write_gif(gif)
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
