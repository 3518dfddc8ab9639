//! How often the pixels of pictures have each level: all that their statistics need.

/// Counts of one picture, channel by channel.
pub(super) struct Levels(Vec<u32>);

/// Frames of an episode that are looked at.
const FEWEST: usize = 100;
const MOST: usize = 10_000;

impl Levels {
    /// Of a picture `(height, width, 3)`. Large ones are thinned out to every n-th pixel, as LeRobot does.
    pub(super) fn of(rgb: &[u8], height: usize, width: usize) -> Self {
        let side = if width > height { width } else { height };
        let step = if side < 300 { 1 } else { side / 150 };
        let mut counts = vec![0; 3 * 256];
        for row in rgb.chunks_exact(3 * width).step_by(step) {
            for pixel in row.chunks_exact(3).step_by(step) {
                for (channel, level) in pixel.iter().enumerate() {
                    counts[256 * channel + usize::from(*level)] += 1;
                }
            }
        }
        Self(counts)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|count| count.to_le_bytes()).collect()
    }

    /// Adds what [`bytes`](Self::bytes) gave to the counts of several pictures.
    pub(super) fn add(bytes: &[u8], to: &mut [[u64; 256]; 3]) {
        let (counts, _) = bytes.as_chunks::<4>();
        for (count, to) in counts.iter().zip(to.as_flattened_mut()) {
            *to += u64::from(u32::from_le_bytes(*count));
        }
    }
}

/// The frames of an episode that are looked at: all up to 100, then ever fewer of them, evenly spread.
pub(super) fn sampled(frames: usize) -> Vec<usize> {
    let share = (frames as f64).powf(0.75) as usize;
    let count = FEWEST.min(frames).max(share.min(MOST));
    let last = frames.saturating_sub(1) as f64;
    let step = last / count.saturating_sub(1).max(1) as f64;
    let place = |sample: usize| if sample + 1 == count { last } else { sample as f64 * step };
    // A single sample is the first frame, which then is the last as well.
    (0..count).map(|sample| place(sample).round_ties_even() as usize).collect()
}
