//! Large numbers for people.

/// A count of parameters: `1.10 B`, `36.9 M`, `1,152`.
///
/// ```
/// assert_eq!(cola_weights::parameters(1_104_000_000), "1.10 B");
/// assert_eq!(cola_weights::parameters(36_864), "36,864");
/// ```
pub fn parameters(count: usize) -> String {
    scaled(count as f64, 1e5, &[(1e9, " B"), (1e6, " M"), (1e3, " k")]).unwrap_or_else(|| grouped(count))
}

/// A size in decimal units, as disks and the hub count: `4.80 GB`, `512 B`.
///
/// ```
/// assert_eq!(cola_weights::bytes(4_800_000_000), "4.80 GB");
/// assert_eq!(cola_weights::bytes(512), "512 B");
/// ```
pub fn bytes(count: u64) -> String {
    scaled(count as f64, 1e3, &[(1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB")])
        .unwrap_or_else(|| format!("{count} B"))
}

/// Three digits of a number from `least` on.
fn scaled(number: f64, least: f64, units: &[(f64, &str)]) -> Option<String> {
    let (size, unit) = units.iter().find(|(size, _)| number >= *size).filter(|_| number >= least)?;
    let number = number / size;
    let digits = if number >= 100.0 { 0 } else { usize::from(number < 10.0) + 1 };
    Some(format!("{number:.digits$}{unit}"))
}

/// A whole number with commas.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 tensor`, `2 tensors`.
pub(crate) fn tensors(count: usize) -> String {
    format!("{} tensor{}", grouped(count), if count == 1 { "" } else { "s" })
}
