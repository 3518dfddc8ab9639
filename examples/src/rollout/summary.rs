//! What a rollout leaves behind: videos, a strip, `rollout.json`, a table.

use anyhow::{Context, Result};
use candle_core::Tensor;
use cola_report::{Image, Table, memory, save_gif, save_mp4, strip};
use cola_weights::parameters;
use serde_json::{Value, json};

use crate::figures::images;
use crate::folder::RunFolder;
use crate::rollout::clock::Spent;
use crate::rollout::model::{Model, Part};
use crate::rollout::settings::Settings;

/// Frames a second that videos have at least: a model's own rate may be too slow to look at.
const SLOWEST: f64 = 2.5;
/// Side that small frames are blown up to in videos, pixels.
const VIDEO_SIDE: usize = 256;
/// The same for the strip.
const STRIP_SIDE: usize = 96;

/// `rollout.gif`, `rollout.mp4`, `rollout.png` of a video `(1, T, 3, H, W)` in `[0, 1]`.
///
/// # Errors
/// The disk's.
pub fn write_pictures(video: &Tensor, fps: f64, folder: &RunFolder) -> Result<()> {
    let frames = images(video, 0)?;
    let side = frames.first().map_or(1, |frame| frame.width.max(1));
    let large: Vec<Image> = frames.iter().map(|frame| frame.upscale(VIDEO_SIDE / side)).collect();
    let fps = fps.max(SLOWEST);
    let delay = (1000.0 / fps).round() as u32;
    save_gif(folder.path("rollout.gif"), &large, delay, 3 * delay)?;
    save_mp4(folder.path("rollout.mp4"), &large, fps)?;
    strip(&[(String::new(), frames)], STRIP_SIDE / side)?.save_png(folder.path("rollout.png"))?;
    Ok(())
}

/// Time and memory of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Where the time went.
    pub spent: Spent,
    /// Operations a second of a large matrix product.
    pub peak: f64,
    /// Steps of the sampler, over all windows.
    pub steps: usize,
    /// Seconds of the whole program so far.
    pub total: f64,
}

impl Measured {
    /// Operations a second of the transformer.
    fn rate(&self) -> f64 {
        self.spent.operations as f64 / self.spent.evaluate
    }

    fn json(&self) -> Value {
        json!({
            "seconds": self.spent,
            "sampler_steps": self.steps,
            "total_seconds": self.total,
            "gflops_of_the_transformer": self.rate() / 1e9,
            "gflops_of_a_matrix_product": self.peak / 1e9,
            "share_of_peak": self.rate() / self.peak,
            "peak_memory_mb": memory::peak(),
        })
    }

    /// Parts, times, speed.
    ///
    /// # Errors
    /// None in practice: every row has the header's length.
    pub fn table(&self, parts: &[Part]) -> Result<Table> {
        let mut table = Table::new(["", "parameters", "seconds", "remarks"]);
        for part in parts {
            let how = if part.loaded { "loaded" } else { "drawn" };
            let took = part.seconds.map(seconds).unwrap_or_default();
            table.row([part.name, &parameters(part.parameters), &took, how])?;
        }
        let Spent { encode, remember, evaluate, evaluations, operations, decode } = self.spent;
        let each = |total: f64, count: f64| seconds(total / count.max(1.0));
        let speed = format!(
            "{:.3} GFLOP each, {:.1} GFLOP/s: {:.0} % of the {:.1} of a large f32 matrix product",
            operations as f64 / 1e9 / (evaluations as f64).max(1.0),
            self.rate() / 1e9,
            100.0 * self.rate() / self.peak,
            self.peak / 1e9
        );
        table.row(["encode", "", &seconds(encode), ""])?;
        if remember > 0.0 {
            table.row(["history", "", &seconds(remember), "computed once a window"])?;
        }
        let steps = format!("mean of {}", self.steps);
        table.row(["sampler step", "", &each(evaluate, self.steps as f64), &steps])?;
        table.row(["evaluation", "", &each(evaluate, evaluations as f64), &speed])?;
        table.row(["decode", "", &seconds(decode), ""])?;
        table.row(["all", "", &seconds(self.total), &memory_text()])?;
        Ok(table)
    }
}

/// `rollout.json`: what was asked for, what was loaded, what it took. Written last, as it says that the rest is there.
///
/// # Errors
/// The disk's.
pub fn write_json(
    folder: &RunFolder,
    (model, start, actions): (&str, &str, &str),
    settings: &Settings,
    opened: &Model,
    measured: &Measured,
) -> Result<()> {
    let parts: Vec<Value> = opened
        .parts
        .iter()
        .map(|part| {
            let loaded = part.report.as_ref().map(|report| {
                json!({
                    "used": { "tensors": report.names.used.len(), "parameters": report.used },
                    "created": { "tensors": report.names.created.len(), "parameters": report.created },
                    "left": { "tensors": report.names.left.len(), "parameters": report.left },
                })
            });
            json!({
                "name": part.name,
                "parameters": part.parameters,
                "seconds": part.seconds,
                "from_a_file": part.loaded,
                "file": loaded,
            })
        })
        .collect();
    let all = json!({
        "model": model,
        "start": start,
        "actions": actions,
        "settings": settings.json(),
        "parts": parts,
        "passed_over_config_fields": opened.unknown,
        "measured": measured.json(),
    });
    let file = folder.path("rollout.json");
    cola_files::write_atomically(&file, &serde_json::to_vec_pretty(&all)?)
        .with_context(|| format!("{}: cannot be written", file.display()))
}

fn seconds(value: f64) -> String {
    format!("{value:.4}")
}

fn memory_text() -> String {
    memory::peak().map_or_else(|| "peak memory unknown".into(), |peak| format!("peak memory {peak:.0} MiB"))
}
