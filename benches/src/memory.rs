//! How much memory this process holds and held, from the system's own books.

use std::fs;

/// What is resident now, in MB; `None` where the system keeps no such books.
pub fn resident() -> Option<f64> {
    status("VmRSS:")
}

/// The most that was resident since [`reset_peak`], in MB.
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
