//! Bytes made worse: what bad disks, half-written files and bad intentions make of sound ones.

use cola_random::{Stream, stream};
use rand::Rng;

/// Numbers at which sizes, products and counters break.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "255",
    "4096",
    "65536",
    "65537",
    "1048576",
    "16777216",
    "4294967296",
    "1000000000000",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
];

/// Openings that nest; many of one make a parser go deep.
const NESTS: [&str; 5] = ["[", "{\"a\":", "[[a]]\n", "a.", "{a={"];

/// A case's own generator.
pub(crate) fn case(purpose: &str, number: u64) -> Stream {
    stream(0, purpose, number, 0)
}

/// One to three changes of a sound file; `other` lends bytes.
pub(crate) fn mutate(sound: &[u8], other: &[u8], rng: &mut Stream) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        change(&mut bytes, other, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Stream) {
    // Half of all changes go to the beginning, where headers are.
    let end = if rng.random() { bytes.len() } else { bytes.len().min(2048) };
    let place = rng.random_range(0..end.max(1)).min(bytes.len());
    let length = 1 << rng.random_range(0..10);
    let stop = (place + length).min(bytes.len());
    match rng.random_range(0..9) {
        0 => {
            for _ in 0..rng.random_range(1..8) {
                if let Some(byte) = bytes.get_mut(rng.random_range(0..end.max(1))) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        1 => bytes.truncate(place),
        2 => bytes[place..stop].fill(if rng.random() { 0 } else { 0xff }),
        3 => drop(bytes.drain(place..stop)),
        4 => {
            let again = bytes[place..stop].to_vec();
            drop(bytes.splice(place..place, again));
        }
        5 => {
            let from = rng.random_range(0..other.len().max(1)).min(other.len());
            let lent = &other[from..(from + length).min(other.len())];
            drop(bytes.splice(place..stop, lent.iter().copied()));
        }
        6 => {
            let nest = NESTS[rng.random_range(0..NESTS.len())].repeat(rng.random_range(1..5000));
            drop(bytes.splice(place..place, nest.into_bytes()));
        }
        7 if bytes.len() >= 8 => {
            let lengths = [0, 1, 7, bytes.len() as u64, 100_000_000, 1 << 40, u64::MAX - 7, u64::MAX];
            bytes[..8].copy_from_slice(&lengths[rng.random_range(0..lengths.len())].to_le_bytes());
        }
        _ => number(bytes, place, rng),
    }
}

/// Puts another number in the place of the next one.
fn number(bytes: &mut Vec<u8>, place: usize, rng: &mut Stream) {
    let Some(first) = bytes[place..].iter().position(u8::is_ascii_digit) else { return };
    let first = place + first;
    let length = bytes[first..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - first);
    let new = NUMBERS[rng.random_range(0..NUMBERS.len())];
    drop(bytes.splice(first..first + length, new.bytes()));
}
