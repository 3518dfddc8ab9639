//! What a rollout is doing, for whoever shows or times it.

use candle_core::{Result, Tensor};
use cola_flow::{Given, Velocity};

/// A piece of work of a rollout. Each is told when it begins, and [`RolloutEvent::Done`] when it ends; they do not nest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutEvent {
    /// The codec takes in video frames.
    Encode {
        /// Video frames.
        frames: usize,
    },
    /// Keys and values of the given frames are computed, once for all steps of a window.
    Remember {
        /// Latent frames.
        frames: usize,
    },
    /// The transformer is asked for a velocity: once for each step, twice with guidance.
    Evaluate {
        /// Latent frames that go through it.
        frames: usize,
        /// Latent frames that are only remembered.
        behind: usize,
    },
    /// The codec gives video frames.
    Decode {
        /// Video frames.
        frames: usize,
    },
    /// What began last has ended. On a GPU it may only have been handed over: synchronise before looking at the clock.
    Done,
}

/// Who hears of a rollout.
pub(crate) type Watch<'a> = &'a dyn Fn(RolloutEvent);

/// Does a piece of work between its event and [`RolloutEvent::Done`].
pub(crate) fn told<T>(watch: Watch<'_>, event: RolloutEvent, work: impl FnOnce() -> Result<T>) -> Result<T> {
    watch(event);
    let result = work()?;
    watch(RolloutEvent::Done);
    Ok(result)
}

/// A field whose every evaluation is told.
pub(crate) struct Watched<'a, V> {
    pub(crate) field: &'a V,
    pub(crate) event: RolloutEvent,
    pub(crate) watch: Watch<'a>,
}

impl<V: Velocity> Velocity for Watched<'_, V> {
    type Context = V::Context;

    fn velocity(&self, x: &Tensor, t: &Tensor, given: &Given, context: &Self::Context) -> Result<Tensor> {
        told(self.watch, self.event, || self.field.velocity(x, t, given, context))
    }
}
