//! A scripted hand: it does what a goal asks for, more or less steadily, or wanders about.

use cola_random::Stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::physics::{BLOCK, GRIPPER, GRIPPER_RANGE, handle};
use super::{Goal, Held, TabletopState, Task};
use crate::Error;

/// How steady the hand is in recorded episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Standard deviation of what is added to the way of each action, steps, 0 to 2.
    pub noise: f64,
    /// Share of episodes in which the gripper wanders about without a goal, 0 to 1.
    pub wander: f64,
    /// Whether the hand keeps still and open once its goal is met; otherwise it takes on another one,
    /// of which the episode's task tells nothing.
    pub rest: bool,
}

impl PolicyConfig {
    /// Always a goal, no noise, and rest when it is met: the last frame shows the goal.
    pub fn exact() -> Self {
        Self { noise: 0.0, wander: 0.0, rest: true }
    }

    /// A noise of 0.3, every fourth episode wanders, and no rest: something goes on in every frame.
    pub fn noisy() -> Self {
        Self { noise: 0.3, wander: 0.25, rest: false }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if !(0.0..=2.0).contains(&self.noise) {
            return Err(Error::setting("tabletop.policy.noise", self.noise, "0 to 2 steps"));
        }
        if !(0.0..=1.0).contains(&self.wander) {
            return Err(Error::setting("tabletop.policy.wander", self.wander, "0 to 1"));
        }
        Ok(())
    }
}

/// What the hand wants next: a way in table widths, and whether to be closed.
type Wish = ([f64; 2], bool);

/// Distance at which the gripper is where it wants to be.
const THERE: f64 = 0.015;
/// Room between the gripper and the block that it comes down behind.
const GAP: f64 = 0.02;

/// One episode's hand. It decides from the state alone and carries nothing along but its wandering.
pub(super) struct Hand<'a> {
    policy: &'a PolicyConfig,
    /// Task and goal; `None` wanders.
    purpose: Option<(Task, Goal)>,
    /// Longest way of an action along an axis.
    step: f64,
    /// Where the wandering drifts, steps, and whether it is closed.
    drift: [f64; 2],
    closed: bool,
}

impl<'a> Hand<'a> {
    pub(super) fn new(policy: &'a PolicyConfig, purpose: Option<(Task, Goal)>, step: f64) -> Self {
        Self { policy, purpose, step, drift: [0.0; 2], closed: false }
    }

    /// (right, near, grip) in `[-1, 1]`.
    pub(super) fn act(&mut self, state: &TabletopState, rng: &mut Stream) -> [f64; 3] {
        if !self.policy.rest && self.purpose.as_ref().is_some_and(|(_, goal)| goal.met(state)) {
            let task = Task::ALL[rng.random_range(0..Task::ALL.len())];
            self.purpose = Some((task, task.goal(state, rng)));
        }
        let ([right, near], closed) = match &self.purpose {
            Some((task, goal)) => {
                let (way, closed) = wish(*task, goal, state);
                (way.map(|way| (way / self.step).clamp(-1.0, 1.0)), closed)
            }
            None => self.wander(rng),
        };
        // The sum of three uniform numbers is nearly normal and the same on every machine.
        let mut noise = || self.policy.noise * (0..3).map(|_| rng.random_range(-1.0..=1.0)).sum::<f64>();
        let (right, near, slack) = (right + noise(), near + noise(), noise().abs().min(0.5));
        let grip = if closed { 1.0 - slack } else { slack - 1.0 };
        [right, near, grip].map(|number| number.clamp(-1.0, 1.0))
    }

    /// A way in steps, and whether to be closed.
    fn wander(&mut self, rng: &mut Stream) -> ([f64; 2], bool) {
        self.closed ^= rng.random_range(0.0..1.0) < 0.12;
        self.drift = self.drift.map(|drift| 0.7 * drift + rng.random_range(-0.7..=0.7));
        (self.drift, self.closed)
    }
}

fn wish(task: Task, goal: &Goal, state: &TabletopState) -> Wish {
    match (task, goal) {
        (_, Goal::Gripper { at }) => (between(state.gripper, *at), false),
        (_, Goal::Slider { open }) => slide(state, f64::from(u8::from(*open))),
        (Task::Push, Goal::Block { block, at }) => push(state, *block, *at),
        _ => match goal.block() {
            Some((block, at)) => carry(state, block, at),
            None => ([0.0; 2], false),
        },
    }
}

fn between(from: [f64; 2], to: [f64; 2]) -> [f64; 2] {
    [to[0] - from[0], to[1] - from[1]]
}

fn near(way: [f64; 2], reach: f64) -> bool {
    way[0].abs().max(way[1].abs()) <= reach
}

/// Over to `at`, open; there it closes.
fn grasp(state: &TabletopState, at: [f64; 2]) -> Wish {
    let way = between(state.gripper, at);
    (way, !state.lowered() && near(way, THERE))
}

fn slide(state: &TabletopState, to: f64) -> Wish {
    let now = handle(state.slider);
    if state.held == Some(Held::Slider) {
        let way = between(now, handle(to));
        (way, !near(way, 1e-9))
    } else if (state.slider - to).abs() <= 0.05 {
        ([0.0; 2], false)
    } else {
        grasp(state, now)
    }
}

fn carry(state: &TabletopState, block: usize, to: [f64; 2]) -> Wish {
    let Some(now) = state.blocks.get(block) else {
        return ([0.0; 2], false);
    };
    let way = between(*now, to);
    let there = near(way, THERE);
    if state.held == Some(Held::Block(block)) {
        (if there { [0.0; 2] } else { way }, !there)
    } else if near(way, 2.0 * THERE) {
        ([0.0; 2], false)
    } else {
        grasp(state, *now)
    }
}

/// Along one axis at a time, the longer way first: a push on a flat side moves a block straight away from it.
fn push(state: &TabletopState, block: usize, to: [f64; 2]) -> Wish {
    let Some(now) = state.blocks.get(block) else {
        return ([0.0; 2], false);
    };
    if state.held.is_some() {
        return carry(state, block, to);
    }
    let reach = BLOCK.half() + GRIPPER.radius;
    let left = between(*now, to);
    let ahead = between(state.gripper, *now);
    if state.lowered() {
        for axis in 0..2 {
            let forward = 1f64.copysign(left[axis]);
            let distance = ahead[axis] * forward - reach;
            let behind = (-THERE..=2.0 * GAP).contains(&distance) && ahead[1 - axis].abs() <= 0.04;
            if behind && left[axis].abs() > THERE {
                let mut way = [0.0; 2];
                way[axis] = left[axis] + forward * distance;
                way[1 - axis] = ahead[1 - axis];
                return (way, true);
            }
        }
    }
    if near(left, 2.0 * THERE) {
        return ([0.0; 2], false);
    }
    let axis = usize::from(left[1].abs() > left[0].abs());
    let mut behind = *now;
    behind[axis] -= (reach + GAP).copysign(left[axis]);
    if !(GRIPPER_RANGE[0]..=GRIPPER_RANGE[1]).contains(&behind[axis]) {
        // No room behind it: a block at an edge has to be carried off.
        return carry(state, block, to);
    }
    let way = between(state.gripper, behind);
    (way, !state.lowered() && near(way, THERE))
}
