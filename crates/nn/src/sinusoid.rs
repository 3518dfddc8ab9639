//! Fixed sine and cosine tables: scalars (time, frame rate), positions on a line and on a grid. Computed in f64.

use candle_core::{DType, Device, Result, Tensor};

/// Features of scalars, `(N)` to `(N, dim)`: `[cos(t f_k), sin(t f_k)]` with `f_k = 10000^(-k / (dim/2))`, cosines
/// first (diffusion time embedding of DiT and Open-Sora).
///
/// # Errors
/// An odd `dim`.
pub fn scalar_features(values: &Tensor, dim: usize, dtype: DType) -> Result<Tensor> {
    if !dim.is_multiple_of(2) {
        candle_core::bail!("sinusoidal features need an even size, got {dim}");
    }
    let half = dim / 2;
    let scalars = values.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let features: Vec<f64> = scalars
        .iter()
        .flat_map(|t| {
            let angle = move |k: usize| t * (-(10_000f64.ln()) * k as f64 / half as f64).exp();
            (0..half).map(move |k| angle(k).cos()).chain((0..half).map(move |k| angle(k).sin()))
        })
        .collect();
    Tensor::from_vec(features, (scalars.len(), dim), values.device())?.to_dtype(dtype)
}

/// Table `(positions.len(), dim)`: `[sin(p w_i), cos(p w_i)]` with `w_i = 10000^(-i / (dim/2))`, sines first.
///
/// # Errors
/// An odd `dim`.
pub fn line_table(positions: &[f64], dim: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let table: Vec<f64> = positions.iter().flat_map(|p| line_row(*p, dim)).collect();
    if !dim.is_multiple_of(2) {
        candle_core::bail!("a position table needs an even width, got {dim}");
    }
    Tensor::from_vec(table, (positions.len(), dim), device)?.to_dtype(dtype)
}

/// Table `(positions.len(), dim)`: sines on even channels, cosines on odd ones, channels `2i` and `2i + 1` with the
/// frequency `10000^(-2i / dim)`: the numbers of [`line_table`] in the order of the first transformers.
///
/// # Errors
/// An odd `dim`.
pub fn interleaved_table(positions: &[f64], dim: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let halves = line_table(positions, dim, DType::F64, device)?;
    halves
        .reshape((positions.len(), 2, dim / 2))?
        .transpose(1, 2)?
        .reshape((positions.len(), dim))?
        .to_dtype(dtype)
}

/// Table `(rows.len() * columns.len(), dim)`, row-major: the first half of the channels encodes the *column*, the last
/// half the row.
///
/// # Errors
/// A `dim` that 4 does not divide.
pub fn grid_table(
    rows: &[f64],
    columns: &[f64],
    dim: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    if !dim.is_multiple_of(4) {
        candle_core::bail!("a grid position table needs a width that 4 divides, got {dim}");
    }
    let table: Vec<f64> = rows
        .iter()
        .flat_map(|row| {
            columns.iter().flat_map(move |column| line_row(*column, dim / 2).chain(line_row(*row, dim / 2)))
        })
        .collect();
    Tensor::from_vec(table, (rows.len() * columns.len(), dim), device)?.to_dtype(dtype)
}

fn line_row(position: f64, dim: usize) -> impl Iterator<Item = f64> {
    let half = dim / 2;
    let angle = move |i: usize| position * 10_000f64.powf(-(i as f64) / half as f64);
    (0..half).map(move |i| angle(i).sin()).chain((0..half).map(move |i| angle(i).cos()))
}
