//! Recorded episodes of a tabletop, and clips cut from them.

use cola_random::stream;
use rand::Rng;

use super::policy::Hand;
use super::{Goal, Tabletop, TabletopState, Task};
use crate::{Clip, ClipSource, Error, Frames};

/// One recording, pictures and numbers.
///
/// Row `i` belongs to frame `i`, and its action leads from frame `i` to frame `i + 1`; the last action was chosen but
/// shows in no picture.
#[derive(Clone, Debug, PartialEq)]
pub struct TabletopEpisode {
    /// `T` pictures.
    pub frames: Frames,
    /// `(T, A)`, row-major, in the table's action space.
    pub actions: Vec<f32>,
    /// `A`.
    pub action_dim: usize,
    /// `(T, S)`, row-major, as [`TabletopState::numbers`] orders them.
    pub states: Vec<f32>,
    /// `S`.
    pub state_dim: usize,
    /// What the gripper was to do, in words.
    pub task: String,
    /// The same as a goal; `None` where the gripper wandered.
    pub goal: Option<Goal>,
    /// Whether a frame met the goal.
    pub success: bool,
}

/// An episode before it is drawn.
struct Trace {
    states: Vec<TabletopState>,
    /// `A` for each state.
    actions: Vec<f32>,
    goal: Option<Goal>,
}

impl Tabletop {
    /// Episode `index` of a seed: the scripted hand does a random [`Task`], or wanders.
    ///
    /// Pure in (configuration, seed, index); the table itself does not change.
    ///
    /// # Errors
    /// None with the configuration that the table was made of.
    pub fn episode(&self, seed: u64, index: u64) -> Result<TabletopEpisode, Error> {
        self.recorded(self.purpose(seed, index), seed, index)
    }

    /// Episode `index` of a seed in which the scripted hand does this task.
    ///
    /// # Errors
    /// None with the configuration that the table was made of.
    pub fn task_episode(&self, task: Task, seed: u64, index: u64) -> Result<TabletopEpisode, Error> {
        self.recorded(Some(task), seed, index)
    }

    /// What the hand does in an episode; `None` wanders.
    fn purpose(&self, seed: u64, index: u64) -> Option<Task> {
        let mut rng = stream(seed, "tabletop task", 0, index);
        let wanders = rng.random_range(0.0..1.0) < self.config().policy.wander;
        let task = Task::ALL[rng.random_range(0..Task::ALL.len())];
        (!wanders).then_some(task)
    }

    fn recorded(&self, task: Option<Task>, seed: u64, index: u64) -> Result<TabletopEpisode, Error> {
        let mut table = self.started(seed, index);
        let Trace { states, actions, goal } = table.trace(task, seed, index, self.config().frames)?;
        Ok(TabletopEpisode {
            frames: table.pictures(states.iter())?,
            actions,
            action_dim: self.config().actions.dim(),
            states: states.iter().flat_map(TabletopState::numbers).collect(),
            state_dim: self.state_names().len(),
            task: goal.map_or_else(|| "move about".into(), |goal| goal.text()),
            goal,
            success: goal.is_some_and(|goal| states.iter().any(|state| goal.met(state))),
        })
    }

    /// Lets the hand move on a table that was just started.
    fn trace(&mut self, task: Option<Task>, seed: u64, index: u64, frames: usize) -> Result<Trace, Error> {
        let mut rng = stream(seed, "tabletop hand", 0, index);
        let purpose = task.map(|task| (task, task.goal(self.state(), &mut rng)));
        let config = self.config().clone();
        let mut hand = Hand::new(&config.policy, purpose, config.step);
        let mut trace =
            Trace { states: Vec::new(), actions: Vec::new(), goal: purpose.map(|(_, goal)| goal) };
        for frame in 0..frames {
            let state = self.state().clone();
            let action = config.actions.encode(hand.act(&state, &mut rng), state.gripper, config.step);
            if frame + 1 < frames {
                self.step(&action)?;
            }
            trace.states.push(state);
            trace.actions.extend(action);
        }
        Ok(trace)
    }

    /// Pictures of these states, as this table is drawn.
    fn pictures<'a>(
        &self,
        states: impl ExactSizeIterator<Item = &'a TabletopState>,
    ) -> Result<Frames, Error> {
        let (count, size) = (states.len(), self.config().size);
        let mut rgb = vec![0; count * self.picture_len()];
        for (state, picture) in states.zip(rgb.chunks_exact_mut(self.picture_len())) {
            self.render_state(state, picture)?;
        }
        Ok(Frames { count, height: size, width: size, rgb })
    }
}

/// All windows of the first `episodes` episodes of a seed, drawn when they are asked for.
///
/// Clip `i` is a pure function of seed and `i`: window `i % w` of episode `i / w`, where an episode has `w` windows. With
/// a stride of `s` it shows every `s`th frame, and the actions of all steps between two of its frames follow each other:
/// `action_dim` is `s` times the table's.
#[derive(Clone)]
pub struct TabletopClips {
    table: Tabletop,
    seed: u64,
    episodes: usize,
    frames: usize,
    stride: usize,
}

impl TabletopClips {
    /// Clips of `frames` frames, `stride` steps apart.
    ///
    /// # Errors
    /// No episodes or frames, a stride of 0, clips that are longer than an episode.
    pub fn new(
        table: Tabletop,
        seed: u64,
        episodes: usize,
        frames: usize,
        stride: usize,
    ) -> Result<Self, Error> {
        for (field, found) in [("episodes", episodes), ("frames", frames), ("frame_stride", stride)] {
            if found == 0 {
                return Err(Error::setting(field, found, "at least 1"));
            }
        }
        let found = table.config().frames;
        let expected = (frames - 1).saturating_mul(stride).saturating_add(1);
        if expected > found {
            return Err(Error::ShortEpisode { found, expected, frames, stride });
        }
        Ok(Self { table, seed, episodes, frames, stride })
    }

    /// Frames from a clip's first to its last.
    fn length(&self) -> usize {
        (self.frames - 1) * self.stride + 1
    }

    fn windows(&self) -> usize {
        self.table.config().frames + 1 - self.length()
    }
}

impl ClipSource for TabletopClips {
    fn len(&self) -> usize {
        self.episodes.saturating_mul(self.windows())
    }

    fn frames_per_clip(&self) -> usize {
        self.frames
    }

    fn clip(&self, index: usize) -> Result<Clip, Error> {
        if index >= self.len() {
            return Err(Error::setting("clip index", index, format!("below {}", self.len())));
        }
        let (episode, start) = ((index / self.windows()) as u64, index % self.windows());
        let end = start + self.length();
        let mut table = self.table.started(self.seed, episode);
        let task = table.purpose(self.seed, episode);
        let Trace { states, actions, .. } = table.trace(task, self.seed, episode, end)?;
        let dim = table.config().actions.dim();
        Ok(Clip {
            frames: table.pictures(states[start..].iter().step_by(self.stride))?,
            actions: actions[start * dim..(end - 1) * dim].to_vec(),
            action_dim: dim * self.stride,
            episode,
            start,
        })
    }
}
