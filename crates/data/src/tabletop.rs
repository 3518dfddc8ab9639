//! A drawn table with a gripper, blocks and a slider: the offline stand-in for a robot.
//!
//! ```
//! use cola_data::tabletop::{Tabletop, TabletopConfig, Task};
//!
//! let mut table = Tabletop::new(TabletopConfig::tiny())?;
//! table.reset(7);
//! let goal = table.goal(Task::Open, 7);
//! assert_eq!(goal.text(), "open the slider");
//! assert!(!table.success(&goal));
//!
//! let before = table.state().gripper;
//! let mut picture = vec![0; table.picture_len()];
//! table.step(&[0.5, 0.0, -1.0])?; // half a step to the right, open
//! table.render(&mut picture)?;
//! assert!((table.state().gripper[0] - before[0] - 0.05).abs() < 1e-12);
//!
//! let recorded = table.task_episode(Task::Open, 7, 0)?;
//! assert!(recorded.success);
//! # Ok::<(), cola_data::Error>(())
//! ```
//!
//! The table is seen from above or a little from the near side. The gripper moves as its actions say. Open, it passes
//! over everything; closed, it is on the table and shoves what it touches. Where it closes over a block or over the
//! handle of the slider at the far end, it holds it. Blocks shove blocks, nothing leaves the table, and what cannot move
//! stops the gripper. There is no momentum and nothing turns.
//!
//! States are pure functions of (configuration, seed, actions) and pictures of (state, look): all of it is made of
//! additions, products, quotients and square roots, which are the same bits on every machine.
//!
//! It leaves planning to its caller, and files to the writers of this crate.

mod action;
mod config;
mod draw;
mod episode;
mod goal;
mod look;
mod physics;
mod picture;
mod policy;
mod state;

use std::sync::Arc;

use cola_random::stream;

pub use action::ActionSpace;
pub use config::TabletopConfig;
pub use episode::{TabletopClips, TabletopEpisode};
pub use goal::{Corner, Goal, Task};
pub use look::Look;
pub use policy::PolicyConfig;
pub use state::{Held, TabletopState};

use crate::Error;
use look::Scene;

/// A table that can be acted on. A copy goes its own way from the same state.
#[derive(Clone)]
pub struct Tabletop {
    config: TabletopConfig,
    state: TabletopState,
    scene: Arc<Scene>,
}

impl Tabletop {
    /// A table as [`reset`](Self::reset) with seed 0 leaves it.
    ///
    /// # Errors
    /// See [`TabletopConfig::check`].
    pub fn new(config: TabletopConfig) -> Result<Self, Error> {
        config.check()?;
        let scene = Arc::new(Scene::new(config.look, config.size, 0, 0));
        Ok(Self { state: TabletopState::draw(config.blocks, 0, 0), scene, config })
    }

    /// Draws where everything lies, and the look if it is [`Look::Random`]. Episode 0 of the same seed begins so, too.
    pub fn reset(&mut self, seed: u64) -> &TabletopState {
        *self = self.started(seed, 0);
        &self.state
    }

    /// A table at the start of an episode.
    fn started(&self, seed: u64, index: u64) -> Self {
        let config = self.config.clone();
        let scene = match config.look {
            Look::Random => Arc::new(Scene::new(config.look, config.size, seed, index)),
            _ => self.scene.clone(),
        };
        Self { state: TabletopState::draw(config.blocks, seed, index), scene, config }
    }

    /// What the table was made of.
    pub fn config(&self) -> &TabletopConfig {
        &self.config
    }

    /// Where everything is.
    pub fn state(&self) -> &TabletopState {
        &self.state
    }

    /// Puts everything there. The look stays.
    ///
    /// # Errors
    /// A state that this table cannot be in: another number of blocks, places off the table or not finite, bodies in one
    /// another, something held that is not under the lowered gripper.
    pub fn set_state(&mut self, state: TabletopState) -> Result<(), Error> {
        state.check(self.config.blocks)?;
        self.state = state;
        Ok(())
    }

    /// Name of each number of [`TabletopState::numbers`].
    pub fn state_names(&self) -> Vec<String> {
        let first = ["gripper_x", "gripper_y", "grip", "slider", "held"].map(String::from);
        let blocks = (0..self.config.blocks).flat_map(|n| [format!("block_{n}_x"), format!("block_{n}_y")]);
        first.into_iter().chain(blocks).collect()
    }

    /// Does one action, [`ActionSpace::dim`] numbers; those beyond their range are cut to it.
    ///
    /// # Errors
    /// Another count of numbers, or one that is not finite; nothing moves then.
    pub fn step(&mut self, action: &[f32]) -> Result<(), Error> {
        let TabletopConfig { actions, step, .. } = &self.config;
        let [right, near, grip] = actions.decode(action, self.state.gripper, *step)?;
        self.state.act([right * step, near * step], (grip + 1.0) / 2.0);
        Ok(())
    }

    /// The action that does `[right, near, grip]`, each in `[-1, 1]` as in [`ActionSpace::Delta`], from here.
    pub fn action(&self, wish: [f64; 3]) -> Vec<f32> {
        self.config.actions.encode(wish, self.state.gripper, self.config.step)
    }

    /// Bytes of a picture, `size * size * 3`.
    pub fn picture_len(&self) -> usize {
        self.scene.background.len()
    }

    /// Draws the table into `rgb`, `(size, size, 3)`, 0..=255.
    ///
    /// # Errors
    /// A buffer of another length than [`picture_len`](Self::picture_len).
    pub fn render(&self, rgb: &mut [u8]) -> Result<(), Error> {
        self.render_state(&self.state, rgb)
    }

    /// Draws what the table looks like once `goal` is met, see [`goal_state`](Self::goal_state).
    ///
    /// # Errors
    /// As [`render`](Self::render) and [`goal_state`](Self::goal_state).
    pub fn render_goal(&self, goal: &Goal, rgb: &mut [u8]) -> Result<(), Error> {
        self.render_state(&self.goal_state(goal)?, rgb)
    }

    /// Draws a state that was checked.
    fn render_state(&self, state: &TabletopState, rgb: &mut [u8]) -> Result<(), Error> {
        if rgb.len() != self.picture_len() {
            return Err(Error::setting("rgb", rgb.len(), format!("{} bytes", self.picture_len())));
        }
        self.scene.paint(state, rgb);
        Ok(())
    }

    /// A goal for this task from here. A seed draws the same goal from the same state.
    pub fn goal(&self, task: Task, seed: u64) -> Goal {
        task.goal(&self.state, &mut stream(seed, "tabletop goal", 0, 0))
    }

    /// Whether the goal is met now.
    pub fn success(&self, goal: &Goal) -> bool {
        goal.met(&self.state)
    }

    /// This state with the goal met: what the goal is about is there, the raised gripper over it, the rest as it is.
    ///
    /// # Errors
    /// A goal that this table cannot meet so: a block that it does not have, a place off the table or taken.
    pub fn goal_state(&self, goal: &Goal) -> Result<TabletopState, Error> {
        let state = goal.applied(&self.state);
        state.check(self.config.blocks)?;
        if !goal.met(&state) {
            return Err(Error::setting("goal", format!("{goal:?}"), "a block that the table has"));
        }
        Ok(state)
    }
}
