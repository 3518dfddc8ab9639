//! Who works in a folder.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{Read, Result};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use crate::atomic::write_atomically;
use crate::utc::utc;

/// The file in the folder; not the lock itself, which other systems do not let be read.
pub(crate) const FILE: &str = ".holder";
/// More than any holder needs, bytes.
const LONGEST: u64 = 4096;

/// The program that works in a folder: `coevolve, process 1234 on HOST, since 2026-11-23 10:12:05 UTC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the program.
    pub program: String,
    /// Its process.
    pub process: u32,
    /// Name of the machine it runs on.
    pub host: String,
    /// When it began, as `2026-11-23 10:12:05 UTC`.
    pub since: String,
}

impl Holder {
    /// This process.
    pub(crate) fn here(program: &str) -> Self {
        Self {
            program: one_line(program),
            process: std::process::id(),
            host: host(),
            since: utc(SystemTime::now()),
        }
    }

    /// Whether it runs on this machine, where its process number means something.
    pub fn is_here(&self) -> bool {
        self.host == host()
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let Self { program, process, host, since } = self;
        let text = format!("program: {program}\nprocess: {process}\nhost: {host}\nsince: {since}\n");
        write_atomically(folder.join(FILE), text.as_bytes())
    }

    /// None where nobody has left a name, or none that can be read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(folder.join(FILE)).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        let field = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            value.map(one_line)
        };
        Some(Self {
            program: field("program")?,
            process: field("process")?.parse().ok()?,
            host: field("host")?,
            since: field("since")?,
        })
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {} on {}, since {}", self.program, self.process, self.host, self.since)
    }
}

/// Nothing that could change what a terminal shows.
fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// This machine's name: what Linux shows as a file, and other systems by a program.
fn host() -> String {
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let program = || {
        let output = Command::new("hostname").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let name = file().or_else(program).map(|name| one_line(&name)).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "an unknown machine".into())
}
