//! Bytes by what they are for.

use std::fmt;

use super::units::Bytes;

/// What the program itself takes: code, threads, and the packing buffers that matrix products keep for each thread.
pub(crate) const BASE: u64 = 64 << 20;

/// The memory at one time of a run, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All parameters, f32.
    pub parameters: u64,
    /// Gradients of the parameters that learn, and those that the record's second backward pass holds beside them.
    pub gradients: u64,
    /// First and second moments of all parameters that have learned by then.
    pub moments: u64,
    /// The running average of the world model.
    pub average: u64,
    /// What the forward pass keeps for the backward pass, and what the backward pass holds at its widest layer; at other
    /// times whatever is computed with.
    pub activations: u64,
    /// Batches: the one that is trained on and those made ahead.
    pub batches: u64,
    /// Decoded frames that stay, and held-out clips.
    pub clips: u64,
    /// The program itself.
    pub base: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.entries().iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Every kind with its name, in the order of the fields.
    pub fn entries(&self) -> [(&'static str, u64); 8] {
        let Self { parameters, gradients, moments, average, activations, batches, clips, base } = *self;
        [
            ("parameters", parameters),
            ("gradients", gradients),
            ("moments", moments),
            ("average", average),
            ("activations", activations),
            ("batches", batches),
            ("clips", clips),
            ("program", base),
        ]
    }

    /// The kind that takes most.
    pub fn largest(&self) -> (&'static str, u64) {
        self.entries().into_iter().max_by_key(|(_, bytes)| *bytes).unwrap_or_default()
    }
}

/// The kinds that take anything, the largest first: `activations 210 MiB, clips 180 MiB`.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<_> = self.entries().into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        entries.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let said: Vec<String> =
            entries.into_iter().map(|(name, bytes)| format!("{name} {}", Bytes(bytes))).collect();
        f.write_str(&said.join(", "))
    }
}
