//! Counts what is allocated, so that a bound can be claimed.

#![expect(unsafe_code, reason = "an allocator can be written in no other way; this one passes everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What reading may take whatever a file holds: the tables of positions, of 2^21 numbers at most, of both halves of a
/// latent action model (8 MiB each) and the list in f64, which doubles as it grows, that one of them is computed in (32 MiB
/// and its copy in f32, 8 MiB); the checksums' buffer, 1 MiB; what a parser and the smallest model need.
pub(crate) const FIXED: usize = 64 << 20;

/// Bytes for each byte of the files beside that: a tensor is held twice while its variable is set, and a number of two
/// bytes in a JSON or TOML text becomes one of eight in a list that doubles, or a node of a tree.
pub(crate) const PER_BYTE: usize = 16;

/// The largest single request beside the files' share: one table in f64, in a list that doubles.
pub(crate) const ONE_REQUEST: usize = 32 << 20;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(live, Relaxed);
    LARGEST.fetch_max(bytes, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new exist at once where the block has to move.
        took(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One measurement at a time: the counters are the process's.
static MEASURING: Mutex<()> = Mutex::new(());

/// Holds the counters for a test.
pub(crate) fn alone() -> impl Drop {
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a call took beyond what was there before: at its height, and in the largest single request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) peak: usize,
    pub(crate) largest: usize,
}

impl Taken {
    pub(crate) fn max(self, other: Self) -> Self {
        Self { peak: self.peak.max(other.peak), largest: self.largest.max(other.largest) }
    }

    /// Whether it is within the bound for input of so many bytes.
    pub(crate) fn is_within(&self, bytes: usize) -> bool {
        self.peak <= FIXED + PER_BYTE * bytes && self.largest <= ONE_REQUEST + PER_BYTE * bytes
    }
}

/// Runs a case of `bytes` bytes of input under [`alone`]; a panic or too much memory fails the test by the case's name.
pub(crate) fn bounded<T>(case: &str, bytes: usize, read: impl FnOnce() -> T) -> (T, Taken) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let found = catch_unwind(AssertUnwindSafe(read));
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    let taken = Taken { peak, largest: LARGEST.load(Relaxed) };
    let Ok(found) = found else { panic!("{case}: it panicked") };
    assert!(taken.is_within(bytes), "{case}: {taken:?} for {bytes} bytes of input");
    (found, taken)
}
