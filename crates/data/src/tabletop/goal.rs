//! What can be asked for on a table, and whether it is done.

use cola_random::Stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::physics::{BLOCK_RANGE, CABINET, GRIPPER_RANGE, handle};
use super::{Held, TabletopState};

/// Kinds of work; each gives many [`Goal`]s, and the scripted policy knows how to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Move the gripper to a place.
    Reach,
    /// Push a block to a place.
    Push,
    /// Carry a block to a place.
    Carry,
    /// Carry a block into a corner.
    Corner,
    /// Open the slider.
    Open,
    /// Close the slider.
    Close,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 6] = [Self::Reach, Self::Push, Self::Carry, Self::Corner, Self::Open, Self::Close];

    /// A goal of this kind that `state` does not meet, where there is such a one.
    pub(super) fn goal(self, state: &TabletopState, rng: &mut Stream) -> Goal {
        let block = rng.random_range(0..state.blocks.len().max(1));
        let at =
            |rng: &mut Stream, ranges: [[f64; 2]; 2]| ranges.map(|[low, high]| rng.random_range(low..=high));
        // How far a place for `block` is from everything else; not at all where the block lies already.
        let room = |place: &[f64; 2]| {
            let away = |other: &[f64; 2]| largest([place[0] - other[0], place[1] - other[1]]);
            let own = state.blocks.get(block).map_or(f64::MAX, away);
            let others = state.blocks.iter().enumerate().filter(|(number, _)| *number != block);
            if own < 0.25 { own - 1.0 } else { others.map(|(_, other)| away(other)).fold(1.0, f64::min) }
        };
        let roomiest = |places: &mut dyn Iterator<Item = [f64; 2]>| {
            places.max_by(|a, b| room(a).total_cmp(&room(b))).unwrap_or([0.5; 2])
        };
        match self {
            Self::Reach => {
                let far = |place: &[f64; 2]| {
                    largest([place[0] - state.gripper[0], place[1] - state.gripper[1]]) >= 0.25
                };
                let places: Vec<[f64; 2]> = (0..16).map(|_| at(rng, [GRIPPER_RANGE; 2])).collect();
                Goal::Gripper { at: places.iter().copied().find(far).unwrap_or(places[0]) }
            }
            Self::Push | Self::Carry => {
                Goal::Block { block, at: roomiest(&mut (0..8).map(|_| at(rng, BLOCK_RANGE))) }
            }
            Self::Corner => {
                let first = rng.random_range(0..4);
                let corners = (0..4).map(|turn| Corner::ALL[(first + turn) % 4]);
                let place = roomiest(&mut corners.clone().map(Corner::place));
                let corner = corners.into_iter().find(|corner| corner.place() == place);
                Goal::Corner { block, corner: corner.unwrap_or(Corner::FarLeft) }
            }
            Self::Open => Goal::Slider { open: true },
            Self::Close => Goal::Slider { open: false },
        }
    }
}

/// Corner of the part of the table on which blocks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corner {
    /// Up left in the picture.
    FarLeft,
    /// Up right.
    FarRight,
    /// Down left.
    NearLeft,
    /// Down right.
    NearRight,
}

impl Corner {
    const ALL: [Self; 4] = [Self::FarLeft, Self::FarRight, Self::NearLeft, Self::NearRight];

    /// Place of a block that lies well in the corner.
    fn place(self) -> [f64; 2] {
        let (left, right, far, near) = (0.12, 0.88, CABINET + 0.12, 0.88);
        match self {
            Self::FarLeft => [left, far],
            Self::FarRight => [right, far],
            Self::NearLeft => [left, near],
            Self::NearRight => [right, near],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::FarLeft => "far left",
            Self::FarRight => "far right",
            Self::NearLeft => "near left",
            Self::NearRight => "near right",
        }
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Goal {
    /// The gripper is within 0.05 of a place, along each axis.
    Gripper {
        /// The place.
        at: [f64; 2],
    },
    /// A block is within 0.05 of a place, along each axis, and let go.
    Block {
        /// Number of the block.
        block: usize,
        /// The place.
        at: [f64; 2],
    },
    /// A block is in a corner, its centre within 0.2 of both edges, and let go.
    Corner {
        /// Number of the block.
        block: usize,
        /// The corner.
        corner: Corner,
    },
    /// The slider is open by at least 0.9, or by 0.1 at most.
    Slider {
        /// Open or closed.
        open: bool,
    },
}

impl Goal {
    /// The goal in words: `carry the red block to the near left` for a block, say.
    pub fn text(&self) -> String {
        match self {
            Self::Gripper { at } => format!("move the gripper to the {}", region(*at)),
            Self::Block { block, at } => format!("bring the {} block to the {}", colour(*block), region(*at)),
            Self::Corner { block, corner } => {
                format!("put the {} block into the {} corner", colour(*block), corner.name())
            }
            Self::Slider { open: true } => "open the slider".into(),
            Self::Slider { open: false } => "close the slider".into(),
        }
    }

    /// Whether `state` meets the goal; never for a block that it does not have.
    pub fn met(&self, state: &TabletopState) -> bool {
        let near =
            |from: &[f64; 2], to: [f64; 2], reach: f64| largest([from[0] - to[0], from[1] - to[1]]) <= reach;
        let lies = |block: usize, to, reach| {
            let free = state.held != Some(Held::Block(block));
            free && state.blocks.get(block).is_some_and(|block| near(block, to, reach))
        };
        match self {
            Self::Gripper { at } => near(&state.gripper, *at, 0.05),
            Self::Block { block, at } => lies(*block, *at, 0.05),
            Self::Corner { block, corner } => lies(*block, corner.place(), 0.08),
            Self::Slider { open: true } => state.slider >= 0.9,
            Self::Slider { open: false } => state.slider <= 0.1,
        }
    }

    /// Where the goal wants its block, if it is about one.
    pub(super) fn block(&self) -> Option<(usize, [f64; 2])> {
        match self {
            Self::Block { block, at } => Some((*block, *at)),
            Self::Corner { block, corner } => Some((*block, corner.place())),
            _ => None,
        }
    }

    /// `state` with the goal met: what the goal is about is moved there, with the raised gripper over it.
    pub(super) fn applied(&self, state: &TabletopState) -> TabletopState {
        let mut state = TabletopState { grip: 0.0, held: None, ..state.clone() };
        match self {
            Self::Gripper { at } => state.gripper = *at,
            Self::Slider { open } => {
                state.slider = f64::from(u8::from(*open));
                state.gripper = handle(state.slider);
            }
            Self::Block { .. } | Self::Corner { .. } => {
                if let Some((block, at)) = self.block() {
                    state.gripper = at;
                    state.blocks.iter_mut().skip(block).take(1).for_each(|block| *block = at);
                }
            }
        }
        state
    }
}

/// The longer of two ways along the axes.
fn largest(way: [f64; 2]) -> f64 {
    way[0].abs().max(way[1].abs())
}

/// What a block is called; it has a colour of that kind in every look.
fn colour(block: usize) -> &'static str {
    ["red", "blue", "yellow", "green"].get(block).copied().unwrap_or("missing")
}

/// A ninth of the table in words.
fn region([x, y]: [f64; 2]) -> &'static str {
    let third = |at: f64| ((at * 3.0) as usize).min(2);
    [
        ["far left", "far centre", "far right"],
        ["centre left", "centre", "centre right"],
        ["near left", "near centre", "near right"],
    ][third((y - CABINET) / (1.0 - CABINET))][third(x)]
}
