//! How much memory this process holds and held, from the system's own books.
//!
//! ```
//! use cola_report::memory;
//!
//! memory::reset_peak();
//! let before = memory::resident();
//! let pages = vec![1u8; 1 << 24];
//! if let (Some(before), Some(peak)) = (before, memory::peak()) {
//!     println!("{} bytes took {:.0} MB", pages.len(), peak - before);
//! }
//! ```

use std::fs;

/// What is resident now, in MB of 2^20 bytes; `None` where the system keeps no such books (they are Linux's `/proc`).
pub fn resident() -> Option<f64> {
    status("VmRSS:")
}

/// The most that was resident since [`reset_peak`], or since the process started, in MB of 2^20 bytes; `None` as in
/// [`resident`].
pub fn peak() -> Option<f64> {
    status("VmHWM:")
}

/// Sets the high-water mark to what is resident now. Where that is not allowed, [`peak`] is that of the whole process.
pub fn reset_peak() {
    let _not_allowed = fs::write("/proc/self/clear_refs", "5");
}

fn status(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}
