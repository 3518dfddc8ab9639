//! Where everything on the table is.

use cola_random::stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::physics::{BLOCK, BLOCK_RANGE, GRIPPER, GRIPPER_RANGE, HANDLE, TOUCH, handle, overlap};
use crate::Error;

/// What a closed gripper holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The block of this number.
    Block(usize),
    /// The slider's handle.
    Slider,
}

/// Everything that changes on a table. Places are `[x, y]` in table widths, from the far left corner to the right and
/// towards the viewer: right and down in the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TabletopState {
    /// Centre of the gripper, 0.05 to 0.95 along each axis.
    pub gripper: [f64; 2],
    /// 0 is open and up, 1 closed and down. Below 0.5 the gripper passes over everything, from 0.5 on it is on the table
    /// and shoves or holds.
    pub grip: f64,
    /// What the gripper holds; nothing while it is up.
    pub held: Option<Held>,
    /// Centres of the blocks, 0.075 to 0.925 along `x`, 0.235 to 0.925 along `y`.
    pub blocks: Vec<[f64; 2]>,
    /// How far the slider is open, 0 (its handle to the left) to 1.
    pub slider: f64,
}

impl TabletopState {
    /// A table in which blocks lie about, the slider is ajar and the gripper is up.
    pub(super) fn draw(blocks: usize, seed: u64, index: u64) -> Self {
        let mut rng = stream(seed, "tabletop start", 0, index);
        let gripper = [(); 2].map(|()| rng.random_range(GRIPPER_RANGE[0]..=GRIPPER_RANGE[1]));
        let slider = rng.random_range(0.2..=0.8);
        // In a row if none of many throws has room for all.
        let mut places: Vec<[f64; 2]> =
            (0..blocks).map(|block| [(block as f64 + 0.5) / blocks as f64, 0.5]).collect();
        for _ in 0..1000 {
            let throw: Vec<[f64; 2]> =
                (0..blocks).map(|_| BLOCK_RANGE.map(|[low, high]| rng.random_range(low..=high))).collect();
            let meets = |number: usize| {
                throw[..number].iter().any(|other| overlap(BLOCK, *other, BLOCK, throw[number]))
            };
            if !(0..blocks).any(meets) {
                places = throw;
                break;
            }
        }
        Self { gripper, grip: 0.0, held: None, blocks: places, slider }
    }

    /// Whether the gripper is on the table.
    pub fn lowered(&self) -> bool {
        self.grip >= 0.5
    }

    /// Number of the block that is held.
    pub(super) fn held_block(&self) -> Option<usize> {
        match self.held {
            Some(Held::Block(block)) => Some(block),
            _ => None,
        }
    }

    /// The state as a row of numbers: gripper x and y, grip, slider, held (0 nothing, 1 the slider, 2 the first block,
    /// 3 the second, ...), then x and y of each block.
    pub fn numbers(&self) -> Vec<f32> {
        let held = match self.held {
            None => 0,
            Some(Held::Slider) => 1,
            Some(Held::Block(block)) => 2 + block,
        };
        let [x, y] = self.gripper;
        let first = [x, y, self.grip, self.slider, held as f64];
        first.into_iter().chain(self.blocks.iter().flatten().copied()).map(|number| number as f32).collect()
    }

    /// Refuses a state that a table with this many blocks cannot be in.
    pub(super) fn check(&self, blocks: usize) -> Result<(), Error> {
        let within = |number: f64, [low, high]: [f64; 2]| number >= low - TOUCH && number <= high + TOUCH;
        let refuse = |field, found: String, expected: &str| Err(Error::setting(field, found, expected));
        if self.blocks.len() != blocks {
            return Err(Error::setting("state.blocks", self.blocks.len(), format!("{blocks} blocks")));
        }
        if !self.gripper.iter().all(|at| within(*at, GRIPPER_RANGE)) {
            return refuse("state.gripper", format!("{:?}", self.gripper), "0.05 to 0.95 along each axis");
        }
        let on_table = |block: &[f64; 2]| (0..2).all(|axis| within(block[axis], BLOCK_RANGE[axis]));
        if let Some(block) = self.blocks.iter().find(|block| !on_table(block)) {
            return refuse("state.blocks", format!("{block:?}"), "0.075 to 0.925 and 0.235 to 0.925");
        }
        if !within(self.grip, [0.0, 1.0]) || !within(self.slider, [0.0, 1.0]) {
            return refuse("state.grip, state.slider", format!("{}, {}", self.grip, self.slider), "0 to 1");
        }
        let holds = |body, at| self.lowered() && overlap(GRIPPER, self.gripper, body, at);
        let possible = match self.held {
            None => true,
            Some(Held::Slider) => holds(HANDLE, handle(self.slider)),
            Some(Held::Block(block)) => self.blocks.get(block).is_some_and(|block| holds(BLOCK, *block)),
        };
        if !possible {
            let found = format!("{:?} with a grip of {}", self.held, self.grip);
            return refuse("state.held", found, "what is under the gripper, and a grip of 0.5 to 1");
        }
        if self.crowded() {
            return refuse("state", format!("{self:?}"), "no two bodies in one place");
        }
        Ok(())
    }
}
