//! Which latent action model a code comes from.

use candle_core::Result;
use cola_nn::Params;
use sha2::{Digest, Sha256};

use crate::config::LamConfig;

/// Hexadecimal digits of a version.
const DIGITS: usize = 16;

/// A name for exactly this model, `lam-` and 16 hexadecimal digits: the SHA-256 of the configuration's fields that decide
/// what parameters mean (as [`LamConfig::differences`] compares them) and of every tensor's name, shape and f32 values, in
/// the order of the names.
///
/// A code means nothing without the model that chose it: code 7 of another encoder, or of the same one a step later, is
/// another action. So the version goes with every export of codes, and whoever reads two of them compares it. `params` is
/// the set of a [`LatentActionModel`](crate::LatentActionModel): inverse dynamics model and codebook.
///
/// # Errors
/// What the device reports.
pub fn codebook_version(config: &LamConfig, params: &Params) -> Result<String> {
    let mut hash = Sha256::new();
    for (field, value) in config.identity() {
        hash.update(format!("{field}={value}\n"));
    }
    params.feed(&mut |bytes| hash.update(bytes))?;
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    // A word: digits alone, or with an `e` between them, would be read from a table as a number.
    Ok(format!("lam-{}", &digits[..DIGITS]))
}
