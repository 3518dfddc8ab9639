//! What a cache tells of itself.

use std::fmt;

/// Messages of one report.
const MESSAGES: usize = 8;

/// Whether a cache takes in more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheState {
    /// It does.
    #[default]
    Filling,
    /// Its size is reached.
    Full,
    /// Another process writes to its folder, or the folder cannot be written to.
    ReadOnly,
}

/// What became of the latents that were asked for since the report before, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Found and whole.
    pub hits: u64,
    /// Not there, the damaged ones among them.
    pub misses: u64,
    /// Entries, or whole files, that were damaged and dropped.
    pub damaged: u64,
    /// Taken in.
    pub added: u64,
    /// Latents that are there now.
    pub entries: usize,
    /// Bytes that they take up.
    pub bytes: u64,
    /// Most bytes that they may take up.
    pub limit: u64,
    /// Whether more are taken in.
    pub state: CacheState,
    /// What was damaged, and why nothing can be written; the first few.
    pub troubles: Vec<String>,
}

impl CacheReport {
    /// Hits in percent of what was asked for; 0 if nothing was.
    pub fn rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            asked => 100.0 * self.hits as f64 / asked as f64,
        }
    }

    /// Notes a damaged part.
    pub(super) fn damage(&mut self, message: String) {
        self.damaged += 1;
        self.trouble(message);
    }

    /// Notes what was wrong.
    pub(super) fn trouble(&mut self, message: String) {
        if self.troubles.len() < MESSAGES {
            self.troubles.push(message);
        }
    }
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(f, "{:.1} % of {} latents from the cache", self.rate(), self.hits + self.misses)?;
        write!(f, ", {:.2} of {:.2} GiB", gib(self.bytes), gib(self.limit))?;
        f.write_str(match self.state {
            CacheState::Filling => "",
            CacheState::Full => ", full",
            CacheState::ReadOnly => ", read only",
        })?;
        match self.damaged {
            0 => Ok(()),
            damaged => write!(f, ", {damaged} damaged"),
        }
    }
}
