//! Batches made ahead of the training step, on threads of their own.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::views::Views;
use super::{Batch, Loader};
use crate::Error;

/// Workers that a [`Feeder`] may have.
const MOST: usize = 256;

/// Threads and room of a [`Feeder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeederConfig {
    /// Threads that make batches; 0 makes them in the thread that asks for them. The clips of one batch are read and
    /// resized on all threads of rayon's pool in any case, so that one worker keeps most machines busy; more help where
    /// reading waits for a disk or a network.
    pub workers: usize,
    /// Batches that are ready or in work at most, beyond the one that is trained on. Each takes
    /// `B T 3 (lam_size² + world_size²) 4` bytes.
    pub ahead: usize,
}

impl Default for FeederConfig {
    /// One worker, two batches.
    fn default() -> Self {
        Self { workers: 1, ahead: 2 }
    }
}

impl FeederConfig {
    /// Refuses more threads than any machine has use for, and workers without room for a batch.
    ///
    /// # Errors
    /// The field that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        if self.workers > MOST {
            return Err(Error::setting("workers", self.workers, format!("at most {MOST}")));
        }
        match self.workers > 0 && self.ahead == 0 {
            true => Err(Error::setting("ahead", 0, "at least 1")),
            false => Ok(()),
        }
    }
}

/// How long somebody waited for batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Time in which there was nothing to train on.
    pub waited: Duration,
    /// Time in all.
    pub total: Duration,
    /// Batches taken.
    pub batches: u64,
}

impl Stall {
    /// The waiting, in percent of the time in all; 0 if no time has passed.
    pub fn share(&self) -> f64 {
        match self.total.is_zero() {
            true => 0.0,
            false => 100.0 * self.waited.as_secs_f64() / self.total.as_secs_f64(),
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stalled {:.1} % of {:.0} s", self.share(), self.total.as_secs_f64())
    }
}

/// Hands over the batches of a range of steps, one after the other, and has the next ones made meanwhile.
///
/// The batches are those of [`Loader::batch`], bit for bit, with any number of workers. An error comes at the step it
/// belongs to, as does a panic of the source, as [`Error::Worker`]. Dropping it ends the threads as soon as the clips
/// in hand are done.
pub struct Feeder {
    work: Arc<Work>,
    /// The next step to hand over.
    next: u64,
    threads: Vec<JoinHandle<()>>,
    waited: Duration,
    batches: u64,
    since: Instant,
}

/// What the threads share.
struct Work {
    loader: Arc<Loader>,
    augment: Box<dyn Fn(u64) -> bool + Send + Sync>,
    end: u64,
    ahead: u64,
    queue: Mutex<Queue>,
    /// Told when a batch was taken or all is over.
    room: Condvar,
    /// Told when a batch is ready.
    ready: Condvar,
    /// Read between two clips, without the lock.
    over: AtomicBool,
}

struct Queue {
    /// The first step that nobody has begun.
    begin: u64,
    /// The first step that the consumer has not got.
    taken: u64,
    ready: BTreeMap<u64, Result<Views, Error>>,
}

/// Why there are no views.
enum Halt {
    Over,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Feeder {
    /// Begins with the first of `steps`; `augment` tells for each step whether its clips are cropped at random.
    ///
    /// In a thread of a rayon pool no workers are started, and a feeder with workers must not be moved into one: waiting
    /// there for work that the pool has to do could last for ever.
    ///
    /// # Errors
    /// What [`FeederConfig::check`] refuses, threads that the system does not start.
    pub fn start(
        loader: Arc<Loader>,
        steps: Range<u64>,
        augment: impl Fn(u64) -> bool + Send + Sync + 'static,
        options: FeederConfig,
    ) -> Result<Self, Error> {
        options.check()?;
        let FeederConfig { workers, ahead } = options;
        let workers = if rayon::current_thread_index().is_some() { 0 } else { workers };
        let work = Arc::new(Work {
            loader,
            augment: Box::new(augment),
            end: steps.end,
            ahead: ahead as u64,
            queue: Mutex::new(Queue { begin: steps.start, taken: steps.start, ready: BTreeMap::new() }),
            room: Condvar::new(),
            ready: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let (waited, since) = (Duration::ZERO, Instant::now());
        let mut feeder = Self { work, next: steps.start, threads: Vec::new(), waited, batches: 0, since };
        // No thread could have anything to do beyond the batches that there is room for.
        for number in 0..workers.min(ahead) {
            let work = feeder.work.clone();
            let thread = thread::Builder::new().name(format!("loader-{number}")).spawn(move || work.run());
            let failed =
                |error: std::io::Error| Error::Worker { step: steps.start, found: error.to_string() };
            feeder.threads.push(thread.map_err(failed)?);
        }
        Ok(feeder)
    }

    /// The batch of the next step, on `device`; `None` after the last.
    ///
    /// # Errors
    /// Those of [`Loader::batch`] at this step; [`Error::Worker`] if making the batch panicked. The next call goes on with
    /// the step after.
    pub fn next(&mut self, device: &Device) -> Result<Option<Batch>, Error> {
        if self.next >= self.work.end {
            return Ok(None);
        }
        let step = self.next;
        self.next += 1;
        let began = Instant::now();
        let views = match self.threads.is_empty() {
            true => self.work.make(step).map_err(|halt| halt.error(step)),
            false => self.work.take(step),
        };
        self.waited += began.elapsed();
        self.batches += 1;
        self.work.loader.finish(views?, device).map(Some)
    }

    /// How long [`next`](Self::next) waited since the start or the last call of this function.
    pub fn take_stall(&mut self) -> Stall {
        let stall = Stall { waited: self.waited, total: self.since.elapsed(), batches: self.batches };
        (self.waited, self.batches, self.since) = (Duration::ZERO, 0, Instant::now());
        stall
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.work.over.store(true, Ordering::Relaxed);
        // Under the lock, or a thread that is about to wait would miss it.
        drop(self.work.lock());
        self.work.room.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was told as the error of its step.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What each thread does.
    fn run(&self) {
        while let Some(step) = self.claim() {
            match self.make(step) {
                Err(Halt::Over) => return,
                made => {
                    self.lock().ready.insert(step, made.map_err(|halt| halt.error(step)));
                    self.ready.notify_all();
                }
            }
        }
    }

    /// The next step to make, once there is room for it; `None` when all is over.
    fn claim(&self) -> Option<u64> {
        let mut queue = self.lock();
        while queue.begin < self.end && queue.begin - queue.taken >= self.ahead && !self.is_over() {
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.begin >= self.end || self.is_over() {
            return None;
        }
        queue.begin += 1;
        Some(queue.begin - 1)
    }

    /// Makes one batch; a panic becomes an error.
    fn make(&self, step: u64) -> Result<Views, Halt> {
        let go_on = || if self.is_over() { Err(Halt::Over) } else { Ok(()) };
        let make = || self.loader.views(step, 0..self.loader.config.batch, (self.augment)(step), go_on);
        // What a panic leaves behind is a cache whose entries are put in whole, and buffers that are dropped.
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(made) => made,
            Err(panic) => Err(Halt::Failed(Error::Worker { step, found: last_words(&*panic) })),
        }
    }

    /// Waits for a batch that a thread makes.
    fn take(&self, step: u64) -> Result<Views, Error> {
        let mut queue = self.lock();
        loop {
            if let Some(views) = queue.ready.remove(&step) {
                queue.taken = step + 1;
                drop(queue);
                self.room.notify_all();
                return views;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Halt {
    fn error(self, step: u64) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Over => Error::Worker { step, found: "it was told to end".into() },
        }
    }
}

/// The message of a panic.
fn last_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}
