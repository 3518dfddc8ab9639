//! What a load did, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cola_nn::LoadReport;

use crate::units::{parameters, tensors};

/// Groups of names that are shown of each kind.
const SHOWN: usize = 12;

/// What [`load`](crate::load) did: names, and how many parameters are behind them. Shown, names are grouped:
///
/// ```
/// use cola_nn::LoadReport;
/// use cola_weights::Loaded;
///
/// let names = |name: &str| (0..28).map(|i| format!("spatial_blocks.{i}.{name}")).collect::<Vec<_>>();
/// let left = [names("cross_attn.proj.bias"), names("cross_attn.proj.weight")].concat();
/// let report = LoadReport { used: names("scale_shift_table"), created: vec![], left };
/// let loaded = Loaded { names: report, used: 193_536, created: 0, left: 37_191_168 };
/// assert_eq!(loaded.to_string(), "\
/// used: 28 tensors, 194 k parameters
///   spatial_blocks.0..27.scale_shift_table  28 tensors
/// created, not in the file: none
/// left in the file, not in the model: 56 tensors, 37.2 M parameters
///   spatial_blocks.0..27.cross_attn.*  56 tensors");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The names: `used` and `created` as in the model, `left` as in the file. What was created is for the model to
    /// create when it is built, if it is not there yet.
    pub names: LoadReport,
    /// Parameters taken from the file.
    pub used: usize,
    /// Parameters that the file lacks.
    pub created: usize,
    /// Parameters of the file that the model lacks.
    pub left: usize,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("used", &self.names.used, self.used),
            ("created, not in the file", &self.names.created, self.created),
            ("left in the file, not in the model", &self.names.left, self.left),
        ];
        for (line, (kind, names, count)) in kinds.into_iter().enumerate() {
            if line > 0 {
                writeln!(f)?;
            }
            if names.is_empty() {
                write!(f, "{kind}: none")?;
                continue;
            }
            write!(f, "{kind}: {}, {} parameters", tensors(names.len()), parameters(count))?;
            let groups = group(names);
            for (pattern, members) in groups.iter().take(SHOWN) {
                write!(f, "\n  {pattern}  {}", tensors(*members))?;
            }
            if groups.len() > SHOWN {
                write!(f, "\n  and {} more groups", groups.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// Names under one pattern each, in the order of their first: numbers become ranges, and what lies deeper than the first
/// word behind them becomes `*`.
fn group(names: &[String]) -> Vec<(String, usize)> {
    let mut groups: BTreeMap<Vec<&str>, Group<'_>> = BTreeMap::new();
    let mut order = Vec::new();
    for name in names {
        let parts: Vec<&str> = name.split('.').collect();
        let mut shown = 1;
        while shown < parts.len() && number(parts[shown]).is_some() {
            shown += 1;
        }
        // A first word with numbers behind it says little without the word after them.
        if shown > 1 && shown < parts.len() {
            shown += 1;
        }
        let key: Vec<&str> =
            parts[..shown].iter().map(|part| if number(part).is_some() { "" } else { part }).collect();
        let group = groups.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Group { first: name, numbers: vec![BTreeSet::new(); shown], members: 0, deeper: false }
        });
        group.members += 1;
        group.deeper |= shown < parts.len();
        for (place, part) in parts[..shown].iter().enumerate() {
            group.numbers[place].extend(number(part));
        }
    }
    order.iter().map(|key| (groups[key].pattern(key), groups[key].members)).collect()
}

struct Group<'a> {
    first: &'a str,
    /// For each part of the pattern, the numbers that stand there.
    numbers: Vec<BTreeSet<u32>>,
    members: usize,
    deeper: bool,
}

impl Group<'_> {
    fn pattern(&self, key: &[&str]) -> String {
        if self.members == 1 {
            return self.first.to_string();
        }
        let part = |(part, numbers): (&&str, &BTreeSet<u32>)| match part.is_empty() {
            true => ranges(numbers),
            false => part.to_string(),
        };
        let mut pattern = key.iter().zip(&self.numbers).map(part).collect::<Vec<_>>().join(".");
        if self.deeper {
            pattern.push_str(".*");
        }
        pattern
    }
}

fn number(part: &str) -> Option<u32> {
    part.parse().ok()
}

/// `0..27`, `3`, or `0..3,5`.
fn ranges(numbers: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, end)) if number - *end == 1 => *end = number,
            _ => runs.push((number, number)),
        }
    }
    let run =
        |&(start, end): &(u32, u32)| if start == end { start.to_string() } else { format!("{start}..{end}") };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}
