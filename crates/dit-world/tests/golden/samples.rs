//! Ten steps of the sampler through a whole model.

use candle_core::Result;
use cola_golden::Golden;

pub(crate) fn sample(_golden: &Golden) -> Result<()> {
    candle_core::bail!("not compared yet")
}
