//! The nearest row of a codebook.

use candle_core::{D, DType, Result, Tensor};

use super::launch::{Argument, Launch, room};
use super::operand::{lend, suffix, tensor, word};
use super::signature::NEAREST;

/// Tokens of a block, one warp each.
const TOKENS: usize = 4;

/// Index of the nearest row of `codebook` `(K, D)` for each token, `(..., D)` to `(...)` u32, on a CUDA device. The
/// lowest index wins ties; a token without a finite distance gets the last one.
///
/// # Errors
/// Tokens that are neither f32 nor bf16, another last dimension than the codebook's, an empty codebook.
pub(crate) fn nearest(tokens: &Tensor, codebook: &Tensor) -> Result<Tensor> {
    let (codes, size) = codebook.dims2()?;
    if tokens.dim(D::Minus1)? != size || codes == 0 || size == 0 {
        candle_core::bail!("tokens of shape {:?}, codebook of shape {:?}", tokens.dims(), codebook.dims());
    }
    let (tokens, codebook) = (tokens.contiguous()?, codebook.to_dtype(DType::F32)?.contiguous()?);
    let (lent_tokens, lent_codebook) = (lend(&tokens), lend(&codebook));
    let (from, rows) = (lent_tokens.operand()?, lent_codebook.operand()?);
    let count = from.count / size;
    let mut index = room(from.device(), count, DType::U32)?;
    let kernel = format!("nearest_{}", suffix(from.dtype())?);
    Launch::new(NEAREST, kernel, count.div_ceil(TOKENS), TOKENS * 32).run(
        from.device(),
        vec![
            Argument::Write(&mut index),
            Argument::Read(from),
            Argument::Read(rows),
            Argument::Word(word(count)?),
            Argument::Word(word(codes)?),
            Argument::Word(word(size)?),
        ],
    )?;
    let mut shape = tokens.dims().to_vec();
    shape.pop();
    Ok(tensor(index, &shape.into()))
}
