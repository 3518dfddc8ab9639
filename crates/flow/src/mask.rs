//! Which frames a training clip is given: Open-Sora's named patterns, each with a probability.

use candle_core::{Device, Result, Tensor};
use cola_random::{stream, uniforms};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::given::Given;

/// Rounding that ten probabilities may sum to above 1.
const SLACK: f64 = 1e-9;

/// Probabilities of the patterns of given frames; what they leave of 1 generates every frame.
///
/// Patterns count latent frames. `image_*` gives one frame, `quarter_*` between one and a quarter of the clip, evenly
/// drawn. Two cases that the published program gets wrong are mended: clips of 2 or 3 frames have a quarter of one frame
/// (there the program stops), and a pattern that would give every frame (head and tail of two) leaves the last one to
/// generate. Clips of fewer than two frames are given nothing.
///
/// ```
/// use cola_flow::MaskConfig;
///
/// let head = MaskConfig { image_head: 1.0, ..MaskConfig::none() };
/// assert_eq!(head.row_with(3, &[0.0; 5])?, [false, true, true]); // frame 0 is given, the others are generated
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// Each frame on its own, with a probability that is drawn for the clip from 0.1 to 0.9.
    pub random: f64,
    /// Every second frame, from frame 0 or 1 on.
    pub interpolate: f64,
    /// Neighbouring frames, up to a quarter of the clip, anywhere.
    pub quarter_random: f64,
    /// First frames, up to a quarter of the clip.
    pub quarter_head: f64,
    /// Last frames, up to a quarter of the clip.
    pub quarter_tail: f64,
    /// As many first as last frames, up to a quarter of the clip each.
    pub quarter_head_tail: f64,
    /// One frame anywhere.
    pub image_random: f64,
    /// The first frame.
    pub image_head: f64,
    /// The last frame.
    pub image_tail: f64,
    /// The first and the last frame.
    pub image_head_tail: f64,
}

impl MaskConfig {
    /// Every frame of every clip is generated.
    pub fn none() -> Self {
        Self {
            random: 0.0,
            interpolate: 0.0,
            quarter_random: 0.0,
            quarter_head: 0.0,
            quarter_tail: 0.0,
            quarter_head_tail: 0.0,
            image_random: 0.0,
            image_head: 0.0,
            image_tail: 0.0,
            image_head_tail: 0.0,
        }
    }

    /// Open-Sora v1.2, training stages 1 and 2.
    pub fn stages_1_and_2() -> Self {
        Self {
            random: 0.05,
            interpolate: 0.005,
            image_random: 0.025,
            image_head: 0.05,
            image_tail: 0.025,
            image_head_tail: 0.025,
            ..Self::quarters(0.005)
        }
    }

    /// Open-Sora v1.2, training stage 3: mostly the first frame.
    pub fn stage_3() -> Self {
        Self {
            random: 0.01,
            interpolate: 0.002,
            image_random: 0.0,
            image_head: 0.22,
            image_tail: 0.005,
            image_head_tail: 0.005,
            ..Self::quarters(0.002)
        }
    }

    /// Open-Sora v1.2, the adaptation stage.
    pub fn adaptation() -> Self {
        Self {
            random: 0.2,
            interpolate: 0.01,
            image_random: 0.05,
            image_head: 0.1,
            image_tail: 0.05,
            image_head_tail: 0.05,
            ..Self::quarters(0.01)
        }
    }

    fn quarters(each: f64) -> Self {
        Self {
            quarter_random: each,
            quarter_head: each,
            quarter_tail: each,
            quarter_head_tail: each,
            ..Self::none()
        }
    }

    fn patterns(&self) -> [(&'static str, f64, Pattern); 10] {
        use {Place::*, Size::*};
        let span = |place, size| Pattern::Span(place, size);
        [
            ("random", self.random, Pattern::Random),
            ("interpolate", self.interpolate, Pattern::EverySecond),
            ("quarter_random", self.quarter_random, span(Anywhere, Quarter)),
            ("quarter_head", self.quarter_head, span(Head, Quarter)),
            ("quarter_tail", self.quarter_tail, span(Tail, Quarter)),
            ("quarter_head_tail", self.quarter_head_tail, span(HeadAndTail, Quarter)),
            ("image_random", self.image_random, span(Anywhere, Image)),
            ("image_head", self.image_head, span(Head, Image)),
            ("image_tail", self.image_tail, span(Tail, Image)),
            ("image_head_tail", self.image_head_tail, span(HeadAndTail, Image)),
        ]
    }

    /// Checks the probabilities.
    ///
    /// # Errors
    /// One outside `[0, 1]` or not a number, a sum above 1.
    pub fn check(&self) -> std::result::Result<(), ConfigError> {
        let patterns = self.patterns();
        if let Some(&(field, found, _)) = patterns.iter().find(|(_, p, _)| !(0.0..=1.0).contains(p)) {
            return Err(ConfigError::Probability { field, found });
        }
        let found: f64 = patterns.iter().map(|(_, p, _)| p).sum();
        if found > 1.0 + SLACK {
            return Err(ConfigError::Sum { found });
        }
        Ok(())
    }

    /// One mask for each sample over `frames` latent frames: row `i` is a pure function of (seed, step, samples\[i\]).
    ///
    /// # Errors
    /// The device's.
    pub fn draw(
        &self,
        frames: usize,
        seed: u64,
        step: u64,
        samples: &[u64],
        device: &Device,
    ) -> Result<Given> {
        let rows = samples
            .iter()
            .map(|&sample| {
                let mut rng = stream(seed, "frame-mask", step, sample);
                let row = self.row_with(frames, &uniforms(2 + frames, 0.0, 1.0, &mut rng))?;
                Ok(row.iter().map(|&generated| f32::from(u8::from(generated))).collect())
            })
            .collect::<Result<Vec<Vec<f32>>>>()?;
        Given::from_mask(&Tensor::from_vec(rows.concat(), (samples.len(), frames), device)?)
    }

    /// The mask of one clip, true where a frame is generated, that `2 + frames` numbers in `[0, 1)` stand for: the first
    /// picks the pattern, the second its length, start or probability, the others the frames (the third the place of a
    /// span). At least one frame of a clip is generated.
    ///
    /// # Errors
    /// Another number of draws.
    pub fn row_with(&self, frames: usize, draws: &[f32]) -> Result<Vec<bool>> {
        if draws.len() != 2 + frames {
            candle_core::bail!("{} draws for a mask of {frames} frames, expected 2 + frames", draws.len());
        }
        let (pick, size, places) = (f64::from(draws[0]), draws[1], &draws[2..]);
        let mut row = vec![true; frames];
        if frames < 2 {
            return Ok(row);
        }
        let mut below = 0.0;
        let picked = self.patterns().into_iter().find(|(_, probability, _)| {
            below += probability;
            pick < below
        });
        if let Some((_, _, pattern)) = picked {
            pattern.give(&mut row, size, places);
        }
        if !row.contains(&true) {
            row[frames - 1] = true;
        }
        Ok(row)
    }
}

/// A rule that marks frames as given.
enum Pattern {
    Random,
    EverySecond,
    Span(Place, Size),
}

enum Place {
    Head,
    Tail,
    HeadAndTail,
    Anywhere,
}

enum Size {
    Image,
    Quarter,
}

impl Pattern {
    fn give(&self, row: &mut [bool], size: f32, places: &[f32]) {
        let frames = row.len();
        match self {
            Self::Random => {
                let probability = 0.1 + 0.8 * size;
                row.iter_mut().zip(places).for_each(|(generated, &place)| *generated = place >= probability);
            }
            Self::EverySecond => {
                row.iter_mut().skip(below(size, 2)).step_by(2).for_each(|frame| *frame = false)
            }
            Self::Span(place, unit) => {
                let length = match unit {
                    Size::Image => 1,
                    Size::Quarter => 1 + below(size, (frames / 4).max(1)),
                };
                if matches!(place, Place::Head | Place::HeadAndTail) {
                    row[..length].fill(false);
                }
                if matches!(place, Place::Tail | Place::HeadAndTail) {
                    row[frames - length..].fill(false);
                }
                if matches!(place, Place::Anywhere) {
                    row[below(places[0], frames - length + 1)..][..length].fill(false);
                }
            }
        }
    }
}

/// A whole number below `count`, from a number in `[0, 1)`; rounding must not reach `count`.
fn below(draw: f32, count: usize) -> usize {
    ((f64::from(draw) * count as f64) as usize).min(count - 1)
}
