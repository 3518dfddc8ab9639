//! The clips that came out best and worst, as strips.

use anyhow::{Context, Result};
use cola_metrics::Video;
use cola_report::{Image, strip};

use crate::evaluate::pair::{Name, Pair};
use crate::folder::RunFolder;

/// Side that small frames are blown up to, pixels.
const SIDE: usize = 64;

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

    /// `worst.png` and `best.png`: real above generated.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(self, folder: &RunFolder) -> Result<()> {
        for (kept, file) in self.kept.into_iter().zip(["worst.png", "best.png"]) {
            let mut rows = Vec::new();
            for (psnr, name, pair) in kept {
                rows.push((format!("{name}"), images(&pair.real)?));
                rows.push((format!("{psnr:.1} dB"), images(&pair.generated)?));
            }
            let Some((_, frames)) = rows.first() else { continue };
            let side = frames.first().map_or(1, |frame| frame.width.max(1));
            strip(&rows, (SIDE / side).max(1))
                .with_context(|| format!("{file}: the clips differ in size; give --size"))?
                .save_png(folder.path(file))?;
        }
        Ok(())
    }
}

fn images(video: &Video) -> Result<Vec<Image>> {
    let [frames, _, height, width] = video.shape();
    let rgb = video.to_rgb8()?;
    let size = rgb.len() / frames;
    let image = |frame: &[u8]| Ok(Image::from_rgb(width, height, frame.to_vec())?);
    rgb.chunks_exact(size).map(image).collect()
}
