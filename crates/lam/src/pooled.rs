//! The pooled reading: tokens are pooled from the patches of two neighbouring frames by learned queries, and the forward
//! model attends to the action as one more token (villa-X).

mod attention;
mod block;
mod decoder;
mod encoder;
mod pool;

pub(crate) use decoder::PooledDecoder;
pub(crate) use encoder::PooledEncoder;
