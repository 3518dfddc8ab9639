//! Cut and flipped bytes.

use std::path::PathBuf;

use proptest::prelude::*;

/// Cuts `file` and flips bits in it, reads it, and puts the file back.
pub(crate) fn damage(file: PathBuf, kept: f64, flips: &[(f64, u8)], read: impl FnOnce()) {
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole[..(kept * whole.len() as f64) as usize].to_vec();
    let length = bytes.len() as f64;
    for &(place, bit) in flips {
        if let Some(byte) = bytes.get_mut((place * length) as usize) {
            *byte ^= 1 << bit;
        }
    }
    std::fs::write(&file, bytes).unwrap();
    // A flip in a picture may go unnoticed; that it ends here is the claim.
    read();
    std::fs::write(&file, whole).unwrap();
}

/// One bit somewhere, or several.
pub(crate) fn flips() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0f64, 0..8u8), 1..6)
}

/// All of the file, or its first part.
pub(crate) fn kept() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 0.0..1.0f64]
}
