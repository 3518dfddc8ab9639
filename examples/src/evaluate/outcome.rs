//! What `evaluate` leaves behind: a table, `report.json`, `frames.csv`, curves.

use anyhow::{Context, Result};
use cola_data::{Cells, Column, ColumnKind, ColumnWriter};
use cola_metrics::{ClipScores, Curve, Report, Tally};
use cola_report::{Panel, Series, Table, curves};
use serde_json::json;

use crate::evaluate::pair::Name;
use crate::folder::RunFolder;

/// One row for each scored frame, written as the clips come.
pub struct FrameTable {
    table: ColumnWriter,
    given: usize,
}

impl FrameTable {
    /// `frames.csv` in the folder, with a column for LPIPS where it is measured.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(folder: &RunFolder, given: usize, lpips: bool) -> Result<Self> {
        use ColumnKind::{Doubles, Integers, Texts};
        let mut columns = vec![Column::new("clip", Texts), Column::new("start", Integers)];
        columns.push(Column::new("frame", Integers));
        columns.extend(["mse", "psnr", "ssim"].map(|name| Column::new(name, Doubles)));
        columns.extend(lpips.then(|| Column::new("lpips", Doubles)));
        let table = ColumnWriter::create(&folder.path("frames.csv"), &columns, &[])?;
        Ok(Self { table, given })
    }

    /// A clip's frames.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, name: &Name, scores: &ClipScores) -> Result<()> {
        let count = scores.mse.len();
        let frames = (0..count).map(|frame| (self.given + frame) as i64).collect();
        let mut cells = vec![
            Cells::Texts(vec![name.source.clone(); count]),
            Cells::Integers(vec![name.start as i64; count]),
            Cells::Integers(frames),
            Cells::Doubles(scores.mse.clone()),
            Cells::Doubles(scores.psnr.clone()),
            Cells::Doubles(scores.ssim.clone()),
        ];
        cells.extend(scores.lpips.clone().map(Cells::Doubles));
        Ok(self.table.write_rows(cells)?)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<()> {
        Ok(self.table.finish()?)
    }
}

/// The numbers as the paper's tables have them: SSIM and LPIPS times 100.
///
/// # Errors
/// None in practice: every row has the header's length.
pub fn table(report: &Report) -> Result<Table> {
    let mut table = Table::new(["metric", "value", "standard error", "over"]);
    let row = |curve: &Curve, scale: f64| {
        let error = curve.by_clip().std_error();
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{:.3}", scale * value));
        [shown(curve.mean()), shown(error), format!("{} frames of {} clips", curve.count(), report.clips)]
    };
    for (name, curve, scale) in named(report) {
        let [value, error, over] = row(curve, scale);
        table.row([name.to_string(), value, error, over])?;
    }
    let pooled = format!("{:.3}", report.psnr_pooled);
    table.row(["PSNR of the pooled error, dB".into(), pooled, String::new(), String::new()])?;
    if let Some(fvd) = &report.fvd {
        let over = format!("{} real, {} generated clips", fvd.real, fvd.generated);
        table.row(["FVD".into(), format!("{:.2}", fvd.fvd), String::new(), over])?;
        if let Some(floor) = fvd.floor {
            let over = "halves of the real clips".into();
            table.row(["FVD, real against real".into(), format!("{floor:.2}"), String::new(), over])?;
        }
        if let Some(kvd) = fvd.kvd {
            table.row(["KVD".into(), format!("{kvd:.4}"), String::new(), String::new()])?;
        }
        if let Some(cosine) = fvd.cosine {
            let over = "pairs of clips".into();
            table.row(["cosine of I3D logits".into(), format!("{cosine:.4}"), String::new(), over])?;
        }
    }
    Ok(table)
}

/// Curves over the predicted frames, the first one first.
fn named(report: &Report) -> Vec<(&'static str, &Curve, f64)> {
    let mut named = vec![("PSNR, dB", &report.psnr, 1.0), ("SSIM x 100", &report.ssim, 100.0)];
    named.extend(report.lpips.as_ref().map(|lpips| ("LPIPS x 100", lpips, 100.0)));
    named
}

/// `horizon.png`: each metric by predicted frame.
///
/// # Errors
/// The disk's.
pub fn plot(report: &Report, given: usize, folder: &RunFolder) -> Result<()> {
    let panels: Vec<Panel> = named(report)
        .into_iter()
        .map(|(name, curve, scale)| {
            let mean = |tally: &Tally| tally.mean().map_or(f64::NAN, |mean| scale * mean);
            let points = curve.by_frame().enumerate().map(|(at, tally)| ((given + at) as f64, mean(tally)));
            Panel::new(name, "").with(Series::new(name, points.collect()))
        })
        .collect();
    let columns = panels.len();
    curves(&panels, columns, "frame").save_png(folder.path("horizon.png"))?;
    Ok(())
}

/// `report.json`: every number beside its protocol. Written last, as it says that the rest is there.
///
/// # Errors
/// The disk's.
pub fn write_json(
    folder: &RunFolder,
    (real, generated): (&str, &str),
    report: &Report,
    left_out: &[(String, String)],
) -> Result<()> {
    let left_out: Vec<_> =
        left_out.iter().map(|(clip, reason)| json!({ "clip": clip, "reason": reason })).collect();
    let by_frame = |curve: &Curve| curve.by_frame().map(Tally::mean).collect::<Vec<_>>();
    let all = json!({
        "real": real,
        "generated": generated,
        "protocol_in_words": report.to_string(),
        "protocol": report.protocol,
        "clips": report.clips,
        "frames": report.psnr.count(),
        "psnr": report.decibels(),
        "psnr_pooled": report.psnr_pooled,
        "ssim": report.ssim.mean(),
        "lpips": report.lpips.as_ref().and_then(Curve::mean),
        "fvd": report.fvd,
        "by_frame": {
            "psnr": by_frame(&report.psnr),
            "ssim": by_frame(&report.ssim),
            "lpips": report.lpips.as_ref().map(by_frame),
        },
        "left_out": left_out,
    });
    let file = folder.path("report.json");
    cola_files::write_atomically(&file, &serde_json::to_vec_pretty(&all)?)
        .with_context(|| format!("{}: cannot be written", file.display()))
}
