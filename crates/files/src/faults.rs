//! A disk that fails where a test wants it to.
//!
//! Every change that this crate makes to the disk is an operation: to make a folder, to create a file, each write that
//! reaches it, its sync, a rename, a sync of a folder, each removal. [`count`] says how many a piece of work has, and
//! [`inject`] stops it at one of them:
//!
//! ```
//! use cola_files::faults::{Plan, count, inject};
//! use cola_files::write_atomically;
//!
//! # fn main() -> std::io::Result<()> {
//! # let file = std::env::temp_dir().join(format!("cola-files-faults-{}", std::process::id()));
//! write_atomically(&file, b"old")?;
//! let (_, operations) = count(|| write_atomically(&file, b"old"));
//! for at in 1..=operations {
//!     let disk = inject(Plan::die_at(at));
//!     write_atomically(&file, b"new").unwrap_err();
//!     drop(disk);
//!     // Whenever it happens: what is there is whole.
//!     assert!([&b"old"[..], b"new"].contains(&std::fs::read(&file)?.as_slice()));
//! }
//! # let _ = std::fs::remove_file(file.with_file_name(format!(".cola-files-faults-{}.partial", std::process::id())));
//! # std::fs::remove_file(file)
//! # }
//! ```
//!
//! Plans belong to the thread that made them; other threads, and so other tests, see the true disk.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::marker::PhantomData;

use crate::disk::Operation;

/// When and how the disk fails; operations are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    from: u64,
    kind: Option<ErrorKind>,
}

impl Plan {
    /// As if the process were killed at operation `n`: it and everything after it fails, clean-ups on drop included. A
    /// write that is hit leaves half of its bytes.
    pub fn die_at(n: u64) -> Self {
        Self { from: n, kind: None }
    }

    /// Errors of this kind from operation `n` on; a write that is hit leaves half of its bytes.
    ///
    /// A disk that is full ([`ErrorKind::StorageFull`], [`ErrorKind::QuotaExceeded`]) still removes and renames. With any
    /// other kind, such as [`ErrorKind::ReadOnlyFilesystem`], everything fails. [`ErrorKind::Interrupted`] is no
    /// failure: whoever writes tries again, here for ever.
    pub fn fail_from(n: u64, kind: ErrorKind) -> Self {
        Self { from: n, kind: Some(kind) }
    }

    fn concerns(&self, operation: Operation) -> bool {
        let needs_room = matches!(
            operation,
            Operation::MakeFolder | Operation::Create | Operation::Write | Operation::Sync
        );
        needs_room || !matches!(self.kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    }

    fn error(&self, at: u64, operation: Operation) -> Error {
        match self.kind {
            None => Error::other(format!("the process is dead since operation {} (injected)", self.from)),
            Some(kind) => Error::new(kind, format!("operation {at}, {operation:?}: {kind} (injected)")),
        }
    }
}

/// What became of the operations since a plan was made.
#[derive(Clone, Copy)]
struct Run {
    /// None only counts.
    plan: Option<Plan>,
    done: u64,
    failed: bool,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// What an operation is to do.
pub(crate) enum Answer {
    GoOn,
    /// It is the first to fail: a write is cut in half.
    Tear(Error),
    Fail(Error),
}

pub(crate) fn ask(operation: Operation) -> Answer {
    // A thread that is ending has no plan any more.
    let answer = RUN.try_with(|run| {
        let mut run = run.borrow_mut();
        let Some(run) = run.as_mut() else { return Answer::GoOn };
        run.done += 1;
        match run.plan {
            Some(plan) if run.done >= plan.from && plan.concerns(operation) => {
                let error = plan.error(run.done, operation);
                if std::mem::replace(&mut run.failed, true) {
                    Answer::Fail(error)
                } else {
                    Answer::Tear(error)
                }
            }
            _ => Answer::GoOn,
        }
    });
    answer.unwrap_or(Answer::GoOn)
}

/// Makes the disk fail for this thread until the guard is dropped; a plan that was there before waits that long.
#[must_use = "the plan ends with its guard"]
pub fn inject(plan: Plan) -> Guard {
    Guard::new(Some(plan))
}

/// Does a piece of work and says how many operations it had. A plan that was there before waits that long.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let guard = Guard::new(None);
    let made = work();
    (made, guard.operations())
}

/// Holds a plan; see [`inject`].
pub struct Guard {
    before: Option<Run>,
    /// It belongs to its thread.
    here: PhantomData<*const ()>,
}

impl Guard {
    fn new(plan: Option<Plan>) -> Self {
        let before = RUN.with(|run| run.replace(Some(Run { plan, done: 0, failed: false })));
        Self { before, here: PhantomData }
    }

    /// Operations since the plan was made, failed ones included.
    pub fn operations(&self) -> u64 {
        RUN.with(|run| run.borrow().map_or(0, |run| run.done))
    }

    /// Whether an operation has failed.
    pub fn has_failed(&self) -> bool {
        RUN.with(|run| run.borrow().is_some_and(|run| run.failed))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = RUN.try_with(|run| run.replace(self.before.take()));
    }
}
