//! How bodies on the table move: the gripper carries what it holds and shoves what it touches.
//!
//! Every body is a square with rounded corners that never turns; the gripper is one without flat sides. Two of them
//! overlap where a point lies in a larger one, so one function tells how far one must move to touch the other only.
//! Nothing has momentum.

use super::{Held, TabletopState};

/// Side of the body's flat part and radius of its rounded corners; from the centre to a flat side it is their sum.
#[derive(Clone, Copy)]
pub(super) struct Body {
    inner: f64,
    pub(super) radius: f64,
}

impl Body {
    pub(super) const fn half(&self) -> f64 {
        self.inner + self.radius
    }

    /// Places that the body's centre may take between 0 and 1.
    const fn range(&self) -> [f64; 2] {
        [self.half(), 1.0 - self.half()]
    }
}

pub(super) const GRIPPER: Body = Body { inner: 0.0, radius: 0.05 };
pub(super) const BLOCK: Body = Body { inner: 0.05, radius: 0.025 };
pub(super) const HANDLE: Body = Body { inner: 0.02, radius: 0.025 };
/// Part of the table at its far end that holds the slider; blocks stay out of it.
pub(super) const CABINET: f64 = 0.16;
/// Where the slider's handle is along `y`.
pub(super) const RAIL: f64 = 0.08;
/// Ends of the handle's way along `x`.
const RAIL_ENDS: [f64; 2] = [0.13, 0.87];
/// Reach of the gripper along both axes.
pub(super) const GRIPPER_RANGE: [f64; 2] = GRIPPER.range();
/// Reach of a block along `x` and `y`.
pub(super) const BLOCK_RANGE: [[f64; 2]; 2] = [BLOCK.range(), [CABINET + BLOCK.half(), 1.0 - BLOCK.half()]];
/// Overlap that counts as touching, table widths: what `f32` makes of places.
pub(super) const TOUCH: f64 = 1e-6;
/// Parts that a movement is done in, so that pushes go where the contact points.
const PARTS: usize = 8;

/// Centre of the handle when the slider is open to `slider`.
pub(super) fn handle(slider: f64) -> [f64; 2] {
    [RAIL_ENDS[0] + slider * (RAIL_ENDS[1] - RAIL_ENDS[0]), RAIL]
}

/// How far the slider opens when its handle moves by `way`.
fn opening(way: f64) -> f64 {
    way / (RAIL_ENDS[1] - RAIL_ENDS[0])
}

/// How `other` at `to` has to move so that it only touches `body` at `from`; `None` if they do not overlap.
pub(super) fn shove(body: Body, from: [f64; 2], other: Body, to: [f64; 2]) -> Option<[f64; 2]> {
    let (inner, radius) = (body.inner + other.inner, body.radius + other.radius);
    let way = [to[0] - from[0], to[1] - from[1]];
    let beyond = way.map(|way| way.abs() - inner);
    if beyond[0] > 0.0 && beyond[1] > 0.0 {
        let distance = (beyond[0] * beyond[0] + beyond[1] * beyond[1]).sqrt();
        let scale = (radius - distance) / distance;
        return (scale > 0.0).then(|| [0, 1].map(|axis| beyond[axis].copysign(way[axis]) * scale));
    }
    let axis = usize::from(beyond[1] > beyond[0]);
    let depth = radius - beyond[axis];
    let mut push = [0.0; 2];
    push[axis] = depth.copysign(way[axis]);
    (depth > 0.0).then_some(push)
}

/// Whether two bodies overlap by more than a touch.
pub(super) fn overlap(body: Body, from: [f64; 2], other: Body, to: [f64; 2]) -> bool {
    shove(body, from, other, to).is_some_and(|push| push[0].abs().max(push[1].abs()) > TOUCH)
}

/// Whether the point `at` lies on `body`.
fn covers(body: Body, centre: [f64; 2], at: [f64; 2]) -> bool {
    shove(body, centre, Body { inner: 0.0, radius: 0.0 }, at).is_some()
}

impl TabletopState {
    /// Moves the gripper by one action: first the grip, then the way `[x, y]` in table widths.
    pub(super) fn act(&mut self, way: [f64; 2], grip: f64) {
        self.grasp(grip);
        let [x, y] = way.map(|way| way / PARTS as f64);
        for _ in 0..PARTS {
            // Where it cannot go straight on, the gripper slides along what is in its way.
            let next = [[x, y], [x, 0.0], [0.0, y]].into_iter().find_map(|part| self.moved(part));
            match next {
                Some(next) => *self = next,
                None => break,
            }
        }
    }

    /// Opens or closes. A gripper that comes down takes hold of what is under its centre and shoves the rest aside; if
    /// there is no room for it, it stays up.
    fn grasp(&mut self, grip: f64) {
        let mut next = Self { grip, ..self.clone() };
        if !next.lowered() {
            next.held = None;
        } else if !self.lowered() {
            let under = self.blocks.iter().position(|block| covers(BLOCK, *block, self.gripper));
            let slider = covers(HANDLE, handle(self.slider), self.gripper).then_some(Held::Slider);
            next.held = under.map(Held::Block).or(slider);
        }
        if let Some(next) = next.moved([0.0; 2]) {
            *self = next;
        }
    }

    /// The state after a small movement; `None` if something is in the way that cannot move away.
    fn moved(&self, mut way: [f64; 2]) -> Option<Self> {
        let mut next = self.clone();
        let within = |way: f64, at: f64, [low, high]: [f64; 2]| way.max(low - at).min(high - at);
        for (axis, way) in way.iter_mut().enumerate() {
            *way = within(*way, self.gripper[axis], GRIPPER_RANGE);
            if let Some(block) = self.held_block() {
                *way = within(*way, self.blocks[block][axis], BLOCK_RANGE[axis]);
            }
        }
        if self.held == Some(Held::Slider) {
            way = [within(way[0], handle(self.slider)[0], RAIL_ENDS), 0.0];
            next.slider = (self.slider + opening(way[0])).clamp(0.0, 1.0);
        }
        for (axis, way) in way.into_iter().enumerate() {
            next.gripper[axis] += way;
            if let Some(block) = self.held_block() {
                next.blocks[block][axis] += way;
            }
        }
        if !next.lowered() {
            return Some(next);
        }
        let free = self.held != Some(Held::Slider);
        if let Some(push) = shove(GRIPPER, next.gripper, HANDLE, handle(next.slider)).filter(|_| free) {
            next.slider = (next.slider + opening(push[0])).clamp(0.0, 1.0);
        }
        next.shove_blocks();
        (!next.crowded()).then_some(next)
    }

    /// Blocks give way to the gripper and the held block, and to other blocks that had to.
    fn shove_blocks(&mut self) {
        let held = self.held_block();
        let mut settled: Vec<usize> = held.into_iter().collect();
        let mut movers = vec![(GRIPPER, self.gripper)];
        movers.extend(held.map(|block| (BLOCK, self.blocks[block])));
        let mut turn = 0;
        while let Some(&(body, from)) = movers.get(turn) {
            turn += 1;
            for (number, block) in self.blocks.iter_mut().enumerate() {
                if settled.contains(&number) {
                    continue;
                }
                if let Some(push) = shove(body, from, BLOCK, *block) {
                    for axis in 0..2 {
                        let [low, high] = BLOCK_RANGE[axis];
                        block[axis] = (block[axis] + push[axis]).clamp(low, high);
                    }
                    settled.push(number);
                    movers.push((BLOCK, *block));
                }
            }
        }
    }

    /// Whether bodies overlap that must not.
    pub(super) fn crowded(&self) -> bool {
        let held = self.held_block();
        let on = |block: &[f64; 2]| overlap(GRIPPER, self.gripper, BLOCK, *block);
        let gripper = self.lowered()
            && (self.blocks.iter().enumerate().any(|(number, block)| held != Some(number) && on(block))
                || self.held != Some(Held::Slider)
                    && overlap(GRIPPER, self.gripper, HANDLE, handle(self.slider)));
        let pairs = self.blocks.iter().enumerate().any(|(number, block)| {
            self.blocks[..number].iter().any(|other| overlap(BLOCK, *block, BLOCK, *other))
        });
        gripper || pairs
    }
}
