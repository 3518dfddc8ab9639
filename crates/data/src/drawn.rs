//! A drawn world that needs no files: a coloured square that moves exactly as its actions say.

use cola_random::stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Clip, ClipSource, Error, Frames};

/// Sizes of a [`DrawnWorld`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnConfig {
    /// Number of clips.
    pub clips: usize,
    /// Frames in a clip, `T`.
    pub frames: usize,
    /// Side of a picture, pixels.
    pub size: usize,
    /// Side of the square, pixels.
    pub square: usize,
    /// Pixels that an action of 1 moves the square.
    pub speed: f64,
}

impl DrawnConfig {
    /// 256 clips of 4 frames, 16 x 16 pixels, a square of 4 pixels that moves up to 3 pixels.
    pub fn tiny() -> Self {
        Self { clips: 256, frames: 4, size: 16, square: 4, speed: 3.0 }
    }

    /// Refuses sizes that cannot be drawn.
    ///
    /// # Errors
    /// No frames, a square that is empty or leaves no room to move, a speed that is not positive and finite.
    pub fn check(&self) -> Result<(), Error> {
        if self.frames == 0 {
            return Err(Error::setting("drawn.frames", 0, "at least 1"));
        }
        if self.square == 0 || self.square >= self.size {
            return Err(Error::setting(
                "drawn.square",
                self.square,
                format!("1 to {}", self.size.saturating_sub(1)),
            ));
        }
        if !(self.speed > 0.0 && self.speed.is_finite()) {
            return Err(Error::setting("drawn.speed", self.speed, "a positive number"));
        }
        Ok(())
    }
}

/// One coloured square on a dark background, moved by random actions (right, down) in `[-1, 1]`.
///
/// Clip `i` is a pure function of seed and `i`. An action is what the square did: at the wall it is cut to the way that
/// was left. The square's edges are antialiased, so that movements of a fraction of a pixel show.
#[derive(Clone, Debug)]
pub struct DrawnWorld {
    config: DrawnConfig,
    seed: u64,
}

impl DrawnWorld {
    /// The world of this seed.
    ///
    /// # Errors
    /// See [`DrawnConfig::check`].
    pub fn new(config: DrawnConfig, seed: u64) -> Result<Self, Error> {
        config.check()?;
        Ok(Self { config, seed })
    }

    /// Draws the square with its left upper corner at `(x, y)`.
    fn draw(&self, (x, y): (f64, f64), background: [f64; 3], colour: [f64; 3], picture: &mut [u8]) {
        let (size, side) = (self.config.size, self.config.square as f64);
        // Part of pixel `i` that lies in the square, along one axis.
        let covered =
            |i: usize, from: f64| ((from + side).min(i as f64 + 1.0) - from.max(i as f64)).clamp(0.0, 1.0);
        for (index, pixel) in picture.chunks_exact_mut(3).enumerate() {
            let part = covered(index % size, x) * covered(index / size, y);
            for channel in 0..3 {
                pixel[channel] =
                    (background[channel] + part * (colour[channel] - background[channel])).round() as u8;
            }
        }
    }
}

impl ClipSource for DrawnWorld {
    fn len(&self) -> usize {
        self.config.clips
    }

    fn frames_per_clip(&self) -> usize {
        self.config.frames
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        let DrawnConfig { clips, frames, size, square, speed } = self.config;
        if index >= clips {
            return Err(Error::setting("clip index", index, format!("below {clips}")));
        }
        let mut rng = stream(self.seed, "drawn world", 0, index as u64);
        let room = (size - square) as f64;
        let background = [(); 3].map(|()| rng.random_range(10.0..40.0));
        let colour = [(); 3].map(|()| rng.random_range(120.0..255.0));
        let mut at = [(); 2].map(|()| rng.random_range(0.0..=room));

        let mut rgb = vec![0; frames * size * size * 3];
        let mut actions = Vec::with_capacity((frames - 1) * 2);
        for (step, picture) in rgb.chunks_exact_mut(size * size * 3).enumerate() {
            if step > 0 {
                for axis in &mut at {
                    let moved = (*axis + speed * rng.random_range(-1.0..=1.0)).clamp(0.0, room);
                    actions.push(((moved - *axis) / speed) as f32);
                    *axis = moved;
                }
            }
            self.draw((at[0], at[1]), background, colour, picture);
        }
        let frames = Frames { count: frames, height: size, width: size, rgb };
        Ok(Clip { frames, actions, action_dim: 2, episode: index as u64, start: 0 })
    }
}
