//! The timestep transform: how much of the time is spent near pure noise, by the size of the video.

use serde::{Deserialize, Serialize};

/// Pixels of the square at which a picture has ratio 1.
const BASE_PIXELS: f64 = 512.0 * 512.0;

/// Video frames of a chunk that Open-Sora's video VAE encodes at once, and the latent frames that it makes of them.
const CHUNK: (usize, usize) = (17, 5);

/// How large a video is, for the shift by resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSize {
    /// Height in pixels (not latent pixels).
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Video frames, before any compression in time.
    pub frames: usize,
    /// Latent frames that the network sees.
    pub latent_frames: usize,
}

/// Where the ratio `r` of the timestep transform `u' = r u / (1 + (r - 1) u)`, `u = t / 1000`, comes from.
///
/// The two rules by resolution are `r = scale sqrt(height width / 512²) sqrt(F)`; the number is `scale`, 1 in Open-Sora.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shift {
    /// No transform.
    None,
    /// A fixed ratio `r`. Small pictures need a large one (about 6), or the noised frame itself shows the answer.
    Fixed(f64),
    /// By resolution, `F` the number of latent frames, at least 1. The same as [`Shift::OpenSora`] for a single frame and
    /// for whole chunks of 17 video frames.
    Resolution(f64),
    /// By resolution as the published program counts: `F = 1` for one video frame, otherwise `floor(frames / 17) * 5`.
    ///
    /// A defect, kept for parity: for 2 to 16 frames `F` and with it the ratio are 0, so that every time below 1000
    /// becomes 0. At 1000 the program computes 0/0; here 1000 stays 1000. Shorter clips want [`Shift::Resolution`].
    OpenSora(f64),
}

impl Shift {
    /// The ratio for a video of this size; at least 0 for a scale of at least 0.
    ///
    /// ```
    /// use cola_flow::{Shift, VideoSize};
    ///
    /// let size = VideoSize { height: 256, width: 256, frames: 8, latent_frames: 8 };
    /// assert_eq!(Shift::Fixed(6.0).ratio(size), 6.0);
    /// assert_eq!(Shift::Resolution(1.0).ratio(size), 2f64.sqrt());
    /// assert_eq!(Shift::OpenSora(1.0).ratio(size), 0.0);
    /// ```
    pub fn ratio(&self, size: VideoSize) -> f64 {
        let by_resolution = |frames: usize, scale: f64| {
            ((size.height * size.width) as f64 / BASE_PIXELS).sqrt() * (frames as f64).sqrt() * scale
        };
        match *self {
            Self::None => 1.0,
            Self::Fixed(ratio) => ratio,
            Self::Resolution(scale) => by_resolution(size.latent_frames.max(1), scale),
            Self::OpenSora(scale) if size.frames == 1 => by_resolution(1, scale),
            Self::OpenSora(scale) => by_resolution(size.frames / CHUNK.0 * CHUNK.1, scale),
        }
    }
}

/// The timestep transform: a time in `[0, 1000]` to one in `[0, 1000]`. Times outside are taken as the nearer end.
///
/// 0 and 1000 stay exactly what they are, whatever the ratio: in float32 the published program may leave 1000 by a
/// rounding, and what compares a mask with the first time then goes wrong.
///
/// ```
/// use cola_flow::transform;
///
/// assert_eq!(transform(500.0, 0.5), 1000.0 / 3.0);
/// assert_eq!([transform(1000.0, 0.3), transform(1000.0, 0.0), transform(999.0, 0.0)], [1000.0, 1000.0, 0.0]);
/// ```
pub fn transform(t: f64, ratio: f64) -> f64 {
    1000.0 * shifted(t / 1000.0, ratio)
}

/// `r u / (1 + (r - 1) u)` for `u` in `[0, 1]`.
pub(crate) fn shifted(u: f64, ratio: f64) -> f64 {
    if u >= 1.0 {
        return 1.0;
    }
    let u = u.max(0.0);
    (ratio * u / (1.0 + (ratio - 1.0) * u)).min(1.0)
}
