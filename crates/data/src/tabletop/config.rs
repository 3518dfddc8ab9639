//! Sizes and choices of a tabletop.

use serde::{Deserialize, Serialize};

use super::{ActionSpace, Look, PolicyConfig};
use crate::Error;

/// Most blocks on a table: each has a colour of its own that its [goals](super::Goal) call it by.
pub(super) const MOST_BLOCKS: usize = 4;

/// What a [`Tabletop`](super::Tabletop) is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TabletopConfig {
    /// Side of the square picture, pixels, 8 to 1024.
    pub size: usize,
    /// Number of blocks, 1 to 4.
    pub blocks: usize,
    /// Colours and camera.
    pub look: Look,
    /// What the numbers of an action mean.
    pub actions: ActionSpace,
    /// Way that one action moves the gripper at most along each axis, table widths, above 0 to 0.25.
    pub step: f64,
    /// Frames of an episode, at least 2.
    pub frames: usize,
    /// Frames per second that episodes claim.
    pub fps: f64,
    /// Who moves the gripper in recorded episodes.
    pub policy: PolicyConfig,
}

impl TabletopConfig {
    /// 32 x 32 pixels, two blocks, episodes of 40 frames.
    pub fn tiny() -> Self {
        Self { size: 32, blocks: 2, step: 0.1, frames: 40, ..Self::small() }
    }

    /// 64 x 64 pixels, three blocks, episodes of 60 frames.
    pub fn small() -> Self {
        Self {
            size: 64,
            blocks: 3,
            look: Look::Plain,
            actions: ActionSpace::Delta,
            step: 0.08,
            frames: 60,
            fps: 5.0,
            policy: PolicyConfig::noisy(),
        }
    }

    /// Refuses what cannot be drawn or moved.
    ///
    /// # Errors
    /// A field outside the range that it states.
    pub fn check(&self) -> Result<(), Error> {
        if !(8..=1024).contains(&self.size) {
            return Err(Error::setting("tabletop.size", self.size, "8 to 1024 pixels"));
        }
        if !(1..=MOST_BLOCKS).contains(&self.blocks) {
            return Err(Error::setting("tabletop.blocks", self.blocks, format!("1 to {MOST_BLOCKS}")));
        }
        if !(self.step > 0.0 && self.step <= 0.25) {
            return Err(Error::setting("tabletop.step", self.step, "above 0 to 0.25 table widths"));
        }
        if self.frames < 2 {
            return Err(Error::setting("tabletop.frames", self.frames, "at least 2"));
        }
        if !(self.fps > 0.0 && self.fps.is_finite()) {
            return Err(Error::setting("tabletop.fps", self.fps, "a positive number"));
        }
        self.actions.check()?;
        self.policy.check()
    }
}
