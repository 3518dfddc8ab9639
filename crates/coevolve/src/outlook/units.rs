//! Numbers as people say them.

use std::fmt;

/// A number of things: `1.2 M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, 1000.0, ["", " k", " M", " G", " T"])
    }
}

/// A number of bytes in units of 1024: `340 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, 1024.0, [" B", " KiB", " MiB", " GiB", " TiB"])
    }
}

/// Two significant digits at least, one behind the point at most.
fn scaled(f: &mut fmt::Formatter<'_>, value: u64, base: f64, units: [&str; 5]) -> fmt::Result {
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= base - 0.5 && unit + 1 < units.len() {
        scaled /= base;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && scaled < 99.95);
    write!(f, "{scaled:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Count};

    #[test]
    fn numbers_read_as_people_say_them() {
        let counts = [0, 7, 999, 1_234, 74_451_456, 904_066_592, 1_208_872_772];
        let said = counts.map(|count| Count(count).to_string());
        assert_eq!(said, ["0", "7", "999", "1.2 k", "74.5 M", "904 M", "1.2 G"]);
        let bytes = [512, 1023, 1024, 1 << 20, 340 << 20, 3 << 29, u64::MAX];
        let said = bytes.map(|bytes| Bytes(bytes).to_string());
        assert_eq!(said, ["512 B", "1023 B", "1.0 KiB", "1.0 MiB", "340 MiB", "1.5 GiB", "16777216 TiB"]);
    }
}
