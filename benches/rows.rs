//! Rows that many tokens share: added, cut apart, summed. In tokens per second; memory is their limit.

use candle_core::{D, Result, Tensor};
use cola_benches::{Layer, Suite};
use cola_nn::{add_rows, split_rows, sum_leading};

/// A table of positions, one row for each token of a frame, onto all frames.
fn add(name: &str, frames: usize, tokens: usize, width: usize) -> Layer {
    Layer::new(name, frames, (tokens, "tokens"), move |scene, frames| {
        let x = scene.tokens("x", (frames, tokens, width))?;
        let table = scene.rows("table", (tokens, width))?;
        Ok(Box::new(move || add_rows(&x, &table)))
    })
    .checked(2)
}

/// Adaptive layer norm's six rows, then each added to the next so that one gradient reaches them all; the plain form adds
/// the table first.
fn split(name: &str, frames: usize, width: usize) -> Layer {
    Layer::new(name, frames, (1, "frames"), move |scene, frames| {
        let x = scene.rows("x", (frames, 6 * width))?;
        let table = scene.rows("table", (6, width))?;
        let plain = scene.is_plain();
        Ok(Box::new(move || {
            let parts = if plain {
                x.broadcast_add(&table.flatten_all()?)?.chunk(6, D::Minus1)?
            } else {
                split_rows(&x, &table)?
            };
            let mut parts = parts.into_iter();
            let Some(first) = parts.next() else { candle_core::bail!("no parts") };
            parts.enumerate().try_fold(first, |sum: Tensor, (index, part)| sum + (part * (index + 2) as f64)?)
        }))
    })
}

/// The gradient of a bias.
fn sum(name: &str, tokens: usize, width: usize) -> Layer {
    Layer::new(name, tokens, (1, "tokens"), move |scene, tokens| {
        let x = scene.tokens("x", (tokens, width))?;
        let plain = scene.is_plain();
        Ok(Box::new(move || if plain { x.sum(0) } else { sum_leading(&x) }))
    })
}

fn main() -> Result<()> {
    let layers = [
        add("add_xl", 5, 256, 1152),
        add("add_xl", 5, 256, 1152).bf16(),
        add("add_tiny", 64, 64, 96),
        split("split_xl", 5, 1152),
        split("split_tiny", 64, 96),
        sum("sum_leading_xl", 1280, 4608),
        sum("sum_leading_xl", 1280, 4608).bf16(),
        sum("sum_leading_tiny", 4096, 96),
    ];
    Suite::layers("rows", &layers)
}
