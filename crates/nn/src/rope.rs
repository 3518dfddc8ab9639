//! Rotary position embedding over the time axis (interleaved pairs).

use candle_core::{D, Device, Result, Tensor};

/// Rotates channel pairs `(2j, 2j+1)` of position `p` by `p * freqs[j]` (Open-Sora v1.2, `rope.freqs`).
#[derive(Clone, Debug)]
pub struct Rope {
    freqs: Vec<f64>,
}

impl Rope {
    /// `freqs[j] = theta^(-2j/dim)` for a head size of `dim`.
    ///
    /// # Errors
    /// An odd head size.
    pub fn new(dim: usize, theta: f64) -> Result<Self> {
        if !dim.is_multiple_of(2) {
            candle_core::bail!("rotary embedding needs an even head size, got {dim}");
        }
        Ok(Self { freqs: (0..dim / 2).map(|j| theta.powf(-2.0 * j as f64 / dim as f64)).collect() })
    }

    /// With stored frequencies `(dim/2)`.
    ///
    /// # Errors
    /// A tensor that is not one-dimensional.
    pub fn from_freqs(freqs: &Tensor) -> Result<Self> {
        Ok(Self { freqs: freqs.to_dtype(candle_core::DType::F64)?.to_vec1()? })
    }

    /// Rotates `(..., L, dim)`, position = index on the second to last axis. Differentiable.
    ///
    /// # Errors
    /// A last dimension other than the head size.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let dims = x.dims().to_vec();
        let (length, dim) = (x.dim(D::Minus2)?, x.dim(D::Minus1)?);
        if dim != 2 * self.freqs.len() {
            candle_core::bail!("rotary table is for head size {}, got {dim}", 2 * self.freqs.len());
        }
        let (cos, sin) = self.table(length, x.device())?;
        let (cos, sin) = (cos.to_dtype(x.dtype())?, sin.to_dtype(x.dtype())?);
        let mut paired = dims.clone();
        paired.truncate(dims.len() - 1);
        paired.extend([dim / 2, 2]);
        let pairs = x.reshape(paired)?;
        let (even, odd) = (pairs.narrow(D::Minus1, 0, 1)?, pairs.narrow(D::Minus1, 1, 1)?);
        let rotated_even = (even.broadcast_mul(&cos)? - odd.broadcast_mul(&sin)?)?;
        let rotated_odd = (odd.broadcast_mul(&cos)? + even.broadcast_mul(&sin)?)?;
        Tensor::cat(&[rotated_even, rotated_odd], D::Minus1)?.reshape(dims)
    }

    /// Cosines and sines `(L, dim/2, 1)`, computed in f64.
    fn table(&self, length: usize, device: &Device) -> Result<(Tensor, Tensor)> {
        let angles: Vec<f64> =
            (0..length).flat_map(|p| self.freqs.iter().map(move |freq| p as f64 * freq)).collect();
        let shape = (length, self.freqs.len(), 1);
        let cos = Tensor::from_vec(angles.iter().map(|a| a.cos()).collect::<Vec<f64>>(), shape, device)?;
        let sin = Tensor::from_vec(angles.iter().map(|a| a.sin()).collect::<Vec<f64>>(), shape, device)?;
        Ok((cos, sin))
    }
}
