//! The clips that came out best and worst, as strips.

use anyhow::Result;
use cola_data::{Crop, Frames, resize};
use cola_metrics::Video;
use cola_report::{Image, strip};

use crate::evaluate::pair::{Name, Pair};
use crate::folder::RunFolder;

/// Height of a frame in a strip, pixels, about.
const SIDE: usize = 96;
/// Frames of a clip that a strip has at most.
const COLUMNS: usize = 16;

/// The few clips with the lowest and the highest PSNR so far; the others' pictures are let go.
#[derive(Default)]
pub struct Extremes {
    most: usize,
    /// Ascending.
    kept: [Vec<(f64, Name, Pair)>; 2],
}

impl Extremes {
    /// Keeps so many at either end.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Default::default() }
    }

    /// Looks at a clip; `psnr` is its mean over frames.
    pub fn look(&mut self, psnr: f64, name: &Name, pair: &Pair) {
        for (end, kept) in self.kept.iter_mut().enumerate() {
            let at = kept.partition_point(|(other, ..)| other.total_cmp(&psnr).is_lt());
            // The worst are the first of the ascending list, the best the last.
            if kept.len() == self.most && at == if end == 0 { self.most } else { 0 } {
                continue;
            }
            kept.insert(at, (psnr, name.clone(), pair.clone()));
            if kept.len() > self.most {
                kept.remove(if end == 0 { self.most } else { 0 });
            }
        }
    }

    /// `worst.png` and `best.png`, real above generated, the extreme one first; the names of those that were written.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(self, folder: &RunFolder) -> Result<Vec<&'static str>> {
        let [worst, mut best] = self.kept;
        best.reverse();
        let mut written = Vec::new();
        for (kept, file) in [(worst, "worst.png"), (best, "best.png")] {
            let mut rows = Vec::new();
            for (psnr, name, pair) in kept {
                let step = pair.real.frames().div_ceil(COLUMNS);
                let every = if step > 1 { format!(", every {step} frames") } else { String::new() };
                rows.push((format!("{name}{every}"), images(&pair.real, step)?));
                rows.push((format!("{psnr:.1} dB"), images(&pair.generated, step)?));
            }
            if !rows.is_empty() {
                strip(&level(rows), 1)?.save_png(folder.path(file))?;
                written.push(file);
            }
        }
        Ok(written)
    }
}

/// Every so many frames, blown up or reduced to about the height of a strip.
fn images(video: &Video, step: usize) -> Result<Vec<Image>> {
    let [count, _, height, width] = video.shape();
    let frames = Frames { count, height, width, rgb: video.to_rgb8()? };
    let rows = if height > SIDE { SIDE } else { height * (SIDE / height) };
    let columns = (width * rows / height).clamp(1, 4 * SIDE);
    let shown = resize(&frames, &Crop::full(height, width), rows, columns)?;
    (0..count)
        .step_by(step)
        .map(|frame| Ok(Image::from_rgb(columns, rows, shown.frame(frame).to_vec())?))
        .collect()
}

/// Pictures of one size: smaller ones on a dark ground.
fn level(mut rows: Vec<(String, Vec<Image>)>) -> Vec<(String, Vec<Image>)> {
    let most = |of: fn(&Image) -> usize| rows.iter().flat_map(|(_, row)| row).map(of).max().unwrap_or(1);
    let (width, height) = (most(|image| image.width), most(|image| image.height));
    for image in rows.iter_mut().flat_map(|(_, row)| row) {
        if (image.width, image.height) != (width, height) {
            let mut ground = Image::new(width, height, [24; 3]);
            ground.paste(0, 0, image);
            *image = ground;
        }
    }
    rows
}
