//! What candle holds of a stack of transformer blocks, in widths: one width is one number for each channel of a token.
//!
//! A forward pass over anything that learns keeps the result of every operation until the loss is dropped. The backward
//! pass adds to that, for the operation that it is at, the gradient of its result, the gradients of its inputs, and the
//! zeros that candle adds them to.

use cola_nn::{Compute, Precision};

/// Bytes of a number in f32: parameters, pictures, latents, losses.
pub(crate) const WIDE: u64 = 4;

/// Freed memory that the allocator has not handed back when the next tensor of that size is asked for, against what is
/// really held, where large results come and go fast; measured.
const SLACK: f64 = 1.5;

/// With what the allocator holds back of such results.
pub(crate) fn slack(bytes: u64) -> u64 {
    (bytes as f64 * SLACK) as u64
}

/// Equal blocks one behind the other over the same tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    /// Tokens of all clips at once.
    pub(crate) tokens: u64,
    /// Channels of a token.
    pub(crate) width: u64,
    /// Blocks.
    pub(crate) blocks: u64,
    /// Widths that a block keeps.
    pub(crate) kept: u64,
    /// Widths of the widest result within a block.
    pub(crate) widest: u64,
    /// Bytes beside the tokens that a block keeps, such as the rows that modulate it.
    pub(crate) beside: u64,
}

/// What a pass takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Kept from the forward pass until the loss is dropped.
    pub(crate) kept: u64,
    /// Held in the backward pass at the widest operation.
    pub(crate) passing: u64,
}

impl Load {
    /// One pass that holds both graphs: what they keep adds up, their backward passes come one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { kept: self.kept + other.kept, passing: self.passing.max(other.passing) }
    }

    /// Further results that are kept.
    pub(crate) fn keeping(self, bytes: u64) -> Self {
        Self { kept: self.kept + bytes, ..self }
    }

    /// At the peak.
    pub(crate) fn total(self) -> u64 {
        self.kept + slack(self.passing)
    }
}

/// Bytes of a token's number.
fn element(compute: Compute) -> u64 {
    match compute.dtype {
        Precision::Full => WIDE,
        Precision::Bf16 => 2,
    }
}

impl Stack {
    /// Bytes of one width.
    pub(crate) fn bytes(&self, compute: Compute) -> u64 {
        self.tokens * self.width * element(compute)
    }

    /// Of a step that learns, or lets gradients through.
    pub(crate) fn learning(&self, compute: Compute) -> Load {
        let width = self.bytes(compute);
        let block = self.kept * width + self.beside;
        let passing = self.backward(compute);
        if !compute.recompute {
            return Load { kept: self.blocks * block, passing };
        }
        // Each block keeps its result. In the backward pass one block is there as a whole, and with it the product of its
        // result and the gradient, from which the gradients of the block are found: that and its own are five widths.
        Load { kept: self.blocks * width, passing: block + 5 * width + passing }
    }

    /// The widest operation's backward pass: the gradient that arrives, the one that it makes, the zeros and their sum.
    /// Under bf16 a product is computed in f32 and narrowed, activation and its gradient together.
    fn backward(&self, compute: Compute) -> u64 {
        let numbers = self.tokens * self.width;
        let added = (3 * self.widest + 2) * numbers * element(compute);
        match compute.dtype {
            Precision::Full => added,
            Precision::Bf16 => added.max((10 * self.widest + 6) * numbers),
        }
    }

    /// Of a pass without gradients: the widest result, the same once more behind its activation, and three widths around.
    pub(crate) fn plain(&self, compute: Compute) -> u64 {
        let numbers = self.tokens * self.width;
        match compute.dtype {
            Precision::Full => WIDE * (2 * self.widest + 3) * numbers,
            Precision::Bf16 => (6 * self.widest + 8) * numbers,
        }
    }
}
