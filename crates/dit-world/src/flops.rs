//! How many operations a forward pass takes.

use crate::config::DitConfig;

/// Latents of a batch, and the text that goes with a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Clips.
    pub batch: usize,
    /// Latent frames.
    pub frames: usize,
    /// Height in latent pixels.
    pub height: usize,
    /// Width in latent pixels.
    pub width: usize,
    /// Text tokens of a clip; without meaning in the paper form.
    pub text: usize,
}

impl DitConfig {
    /// Operations of one forward pass in matrix products, a multiplication and an addition counted as two; a backward pass
    /// takes about twice as many. The action conditioner is not counted, nor is anything that touches each number once.
    ///
    /// ```
    /// use cola_dit_world::{DitConfig, Workload};
    ///
    /// let two_frames = Workload { batch: 1, frames: 2, height: 32, width: 32, text: 300 }; // 256 x 256 pixels
    /// assert_eq!(DitConfig::paper().flops(two_frames) / 100_000_000, 9303); // 0.9303e12
    /// ```
    pub fn flops(&self, workload: Workload) -> u64 {
        let Workload { batch, frames, height, width, text } = workload;
        let spatial = height.div_ceil(self.patch) * width.div_ceil(self.patch);
        let (c, n) = (self.hidden_size, frames * spatial);
        let linear = |rows: usize, from: usize, to: usize| 2 * rows * from * to;
        let feed_forward = 2 * linear(n, c, self.mlp_ratio * c);
        let block = linear(n, c, 4 * c) + feed_forward;
        let attention = 4 * n * (spatial + frames) * c;
        let cross = linear(n, c, 2 * c) + linear(text, c, 2 * c) + 4 * n * text * c;
        let area = self.patch * self.patch;
        let ends = linear(n, self.in_channels * area, c) + linear(n, c, area * self.out_channels());
        let times = 2 * (linear(1, 256, c) + linear(1, c, c)) + linear(1, c, 6 * c);
        let mut clip = self.depth * (2 * block + attention) + ends + times;
        if let Some(config) = &self.text {
            clip += self.depth * 2 * cross + linear(text, config.caption_channels, c) + linear(text, c, c);
        }
        (batch * clip) as u64
    }
}
