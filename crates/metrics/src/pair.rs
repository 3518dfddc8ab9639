//! Two videos that are compared pixel by pixel.

use crate::{Error, Result, Video};

/// Their shape, `(T, C, H, W)`, which has to be one.
pub(crate) fn shape(metric: &'static str, a: &Video, b: &Video) -> Result<[usize; 4]> {
    if a.shape() != b.shape() {
        return Err(Error::Shapes { metric, first: a.shape(), second: b.shape() });
    }
    Ok(a.shape())
}
