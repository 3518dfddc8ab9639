//! What the world model sees of a clip, as a short name.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Frames;

/// SHA-256 over sizes and pixels of the world model's view of a clip, as the loader makes it: 8 bits a colour. Clips with
/// equal keys have equal views, wherever they come from; another crop, region, size or data set gives another key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClipKey([u8; 32]);

impl ClipKey {
    /// Of a view.
    pub fn of(view: &Frames) -> Self {
        let mut hash = Sha256::new();
        for size in [view.count, view.height, view.width] {
            hash.update((size as u64).to_le_bytes());
        }
        hash.update(&view.rgb);
        Self(hash.finalize().into())
    }

    /// The key of what the codec of this name makes of the view.
    pub(crate) fn under(&self, codec: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((codec.len() as u64).to_le_bytes());
        hash.update(codec);
        hash.update(self.0);
        Self(hash.finalize().into())
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The inverse of its text; `None` for any other.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = u8::try_from(16 * digit(*high)? + digit(*low)?).ok()?;
        }
        Some(Self(bytes))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for ClipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClipKey({self})")
    }
}
