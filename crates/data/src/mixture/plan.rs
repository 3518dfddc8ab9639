//! What a run takes from each source of a mixture, as a table.

use std::fmt;

use super::Leaf;
use super::slots::BLOCK;

/// One source in a [`MixturePlan`].
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRow {
    /// Its group.
    pub group: String,
    /// Its name in the group.
    pub source: String,
    /// Clips it holds.
    pub clips: usize,
    /// Fraction of the samples it was given, 0 to 1.
    pub weight: f64,
    /// Samples drawn from it.
    pub samples: u64,
    /// How often each of its clips is seen: `samples / clips`.
    pub epochs: f64,
}

/// What so many samples take from each source; as text, a table with aligned columns.
///
/// Exact for whole blocks of 65,536 samples. The rest is shared out by weight; the samples really drawn in it depend on
/// the seed and differ by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct MixturePlan {
    /// In the order of the mixture's clips.
    pub rows: Vec<PlanRow>,
}

impl MixturePlan {
    /// `slots` are those of the leaves in a block.
    pub(super) fn new(leaves: &[Leaf], slots: &[u64], samples: u64) -> Self {
        let (blocks, rest) = (samples / BLOCK, samples % BLOCK);
        // Where the slots before a leaf's, and its own, end in the rest: rounded so that all together make the rest.
        let (mut before, mut given) = (0, 0);
        let rows = leaves.iter().zip(slots).map(|(leaf, slots)| {
            before += slots;
            let upto = (before * rest + BLOCK / 2) / BLOCK;
            let samples = blocks * slots + upto - given;
            given = upto;
            let clips = leaf.at.len();
            PlanRow {
                group: leaf.group.clone(),
                source: leaf.name.clone(),
                clips,
                weight: leaf.weight,
                samples,
                epochs: samples as f64 / clips as f64,
            }
        });
        Self { rows: rows.collect() }
    }
}

impl fmt::Display for MixturePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["group", "source", "clips", "weight %", "samples", "epochs"].map(str::to_owned);
        let row = |row: &PlanRow| {
            [
                row.group.clone(),
                row.source.clone(),
                row.clips.to_string(),
                format!("{:.2}", 100.0 * row.weight),
                row.samples.to_string(),
                format!("{:.2}", row.epochs),
            ]
        };
        let lines: Vec<[String; 6]> = std::iter::once(head).chain(self.rows.iter().map(row)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let [group, source, numbers @ ..] = line;
            write!(f, "{group:<0$}  {source:<1$}", widths[0], widths[1])?;
            for (cell, width) in numbers.iter().zip(&widths[2..]) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        Ok(())
    }
}
