//! The memory that this machine has left.

use std::fs;
use std::path::{Path, PathBuf};

/// What the machine can give to this process, in bytes; `None` where it does not tell.
///
/// On Linux: the smaller of what the system and what the process's control group have left, and what the process holds
/// already. Nothing is known elsewhere, and nothing of the memory of a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// What this process may hold in all.
    pub available: Option<u64>,
    /// What it holds now.
    pub resident: Option<u64>,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let resident = read("/proc/self/status").and_then(|text| kibibytes(&text, "VmRSS:"));
        let system = read("/proc/meminfo").and_then(|text| kibibytes(&text, "MemAvailable:"));
        let left = [system, group_left()].into_iter().flatten().min();
        Self { available: left.map(|left| left.saturating_add(resident.unwrap_or(0))), resident }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number behind a field such as `MemAvailable:`, which is given in kB of 1024 bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the process's control group has left, of version 2 or 1; page cache that can be dropped counts as free.
fn group_left() -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    folders(&groups).iter().filter_map(|group| group.left()).min()
}

/// A control group's folder and the names of its books.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
    cache: &'static str,
}

impl Group {
    fn left(&self) -> Option<u64> {
        let number = |name| read(self.folder.join(name))?.trim().parse::<u64>().ok();
        // Version 2 writes `max` where there is no limit, version 1 a number that no machine has.
        let limit = number(self.limit).filter(|limit| *limit < 1 << 60)?;
        let stat = read(self.folder.join("memory.stat"))?;
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.cache)?.trim().parse::<u64>().ok());
        let usage = number(self.usage)?.saturating_sub(cache.unwrap_or(0));
        Some(limit.saturating_sub(usage))
    }
}

/// The folders that may hold this process's books: its own and those above it, which bind it as well.
fn folders(groups: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, limit, usage, cache) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let cache = "total_inactive_file ";
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", cache)
        } else {
            continue;
        };
        let own = Path::new(path.trim_start_matches('/'));
        for part in own.ancestors() {
            found.push(Group { folder: Path::new(root).join(part), limit, usage, cache });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Group, folders, kibibytes};

    #[test]
    fn fields_of_the_system_are_read_in_kilobytes() {
        let text = "MemTotal:  24 kB\nMemAvailable:   22909352 kB\n";
        assert_eq!(kibibytes(text, "MemAvailable:"), Some(22_909_352 * 1024));
        assert_eq!(kibibytes(text, "MemFree:"), None);
        assert_eq!(kibibytes("MemFree: much kB", "MemFree:"), None);
        assert_eq!(kibibytes(&format!("MemFree: {} kB", u64::MAX), "MemFree:"), None);
    }

    #[test]
    fn a_group_is_bound_by_those_above_it() {
        let paths = |text: &str| -> Vec<String> {
            folders(text).iter().map(|group| group.folder.display().to_string()).collect()
        };
        assert_eq!(paths("0::/a/b\n"), ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup/"]);
        let old = paths("9:name=systemd:/\n4:cpu,memory:/job\n");
        assert_eq!(old, ["/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory/"]);
        assert!(paths("no groups here").is_empty());
    }

    #[test]
    fn a_group_has_left_what_its_limit_and_its_usage_say_and_none_without_a_limit() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).expect("a file");
        let group = |folder: &Path| Group {
            folder: folder.to_path_buf(),
            limit: "memory.max",
            usage: "memory.current",
            cache: "inactive_file ",
        };
        assert_eq!(group(root.path()).left(), None);
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        write("memory.stat", "anon 400\ninactive_file 100\n");
        assert_eq!(group(root.path()).left(), Some(400));
        write("memory.max", "max\n");
        assert_eq!(group(root.path()).left(), None);
    }
}
