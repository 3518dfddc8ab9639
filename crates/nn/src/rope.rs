//! Rotary position embedding over the time axis (interleaved pairs).

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor};

use crate::kernel::element::{Element, for_element, storage};
use crate::kernel::{for_each, lend, loops_serve, task_rows, tensor, values};

/// Rotates channel pairs `(2j, 2j+1)` of position `p` by `p * freqs[j]` (Open-Sora v1.2, `rope.freqs`).
#[derive(Clone, Debug)]
pub struct Rope {
    freqs: Vec<f64>,
    /// The longest table so far; clones share it.
    table: Arc<Mutex<Option<Arc<RopeTable>>>>,
}

/// Cosines and sines of positions `0..length`, computed in f64.
#[derive(Debug)]
pub(crate) struct RopeTable {
    length: usize,
    /// Half the head size.
    half: usize,
    /// `(cosine, sine)`, `half` of them a position.
    turns: Vec<(f32, f32)>,
    /// The same on the device that asked last.
    #[cfg(feature = "cuda")]
    copy: Mutex<Option<Tensor>>,
}

impl RopeTable {
    fn new(length: usize, freqs: &[f64]) -> Self {
        let turns = (0..length)
            .flat_map(|p| freqs.iter().map(move |freq| p as f64 * freq))
            .map(|angle| (angle.cos() as f32, angle.sin() as f32))
            .collect();
        Self {
            length,
            half: freqs.len(),
            turns,
            #[cfg(feature = "cuda")]
            copy: Mutex::default(),
        }
    }

    /// `(length, half, 2)` on a device, copied there once.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_device(&self, device: &Device) -> Result<Tensor> {
        let mut place = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = place.as_ref().filter(|copy| copy.device().same_device(device)) {
            return Ok(copy.clone());
        }
        let numbers: Vec<f32> = self.turns.iter().flat_map(|(cos, sin)| [*cos, *sin]).collect();
        Ok(place.insert(Tensor::from_vec(numbers, (self.length, self.half, 2), device)?).clone())
    }

    /// Rotates one row of the head size in place, by the negative angles if `back`.
    #[inline(always)]
    pub(crate) fn turn(&self, row: &mut [f32], position: usize, back: bool) {
        let turns = &self.turns[position * self.half..][..self.half];
        for (pair, (cos, sin)) in row.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
            let sin = if back { -sin } else { *sin };
            let [even, odd] = *pair;
            *pair = [even * cos - odd * sin, odd * cos + even * sin];
        }
    }
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
        Ok(Self::of((0..dim / 2).map(|j| theta.powf(-2.0 * j as f64 / dim as f64)).collect()))
    }

    /// With stored frequencies `(dim/2)`.
    ///
    /// # Errors
    /// A tensor that is not one-dimensional.
    pub fn from_freqs(freqs: &Tensor) -> Result<Self> {
        Ok(Self::of(freqs.to_dtype(candle_core::DType::F64)?.to_vec1()?))
    }

    fn of(freqs: Vec<f64>) -> Self {
        Self { freqs, table: Arc::default() }
    }

    /// The head size.
    pub(crate) fn size(&self) -> usize {
        2 * self.freqs.len()
    }

    /// A table of at least this length.
    pub(crate) fn table(&self, length: usize) -> Arc<RopeTable> {
        // The place only ever holds whole tables, so a panic elsewhere cannot have spoilt it.
        let mut place = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match &*place {
            Some(table) if table.length >= length => table.clone(),
            _ => place.insert(Arc::new(RopeTable::new(length, &self.freqs))).clone(),
        }
    }

    /// The frequencies `(dim/2)` in f64.
    ///
    /// # Errors
    /// The device's.
    pub fn freqs(&self, device: &Device) -> Result<Tensor> {
        Tensor::new(self.freqs.as_slice(), device)
    }

    /// The angle by which each channel of positions `0..length` is turned, `(length, dim)` in f64: both channels of a pair
    /// have the pair's.
    ///
    /// # Errors
    /// The device's.
    pub fn angles(&self, length: usize, device: &Device) -> Result<Tensor> {
        let angles: Vec<f64> =
            (0..length).flat_map(|p| self.freqs.iter().flat_map(move |freq| [p as f64 * freq; 2])).collect();
        Tensor::from_vec(angles, (length, self.size()), device)
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
        if loops_serve(&[x]) {
            return x.contiguous()?.apply_op1(Turn { table: self.table(length), length });
        }
        let (cos, sin) = self.columns(length, x.device())?;
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
    fn columns(&self, length: usize, device: &Device) -> Result<(Tensor, Tensor)> {
        let angles: Vec<f64> =
            (0..length).flat_map(|p| self.freqs.iter().map(move |freq| p as f64 * freq)).collect();
        let shape = (length, self.freqs.len(), 1);
        let cos = Tensor::from_vec(angles.iter().map(|a| a.cos()).collect::<Vec<f64>>(), shape, device)?;
        let sin = Tensor::from_vec(angles.iter().map(|a| a.sin()).collect::<Vec<f64>>(), shape, device)?;
        Ok((cos, sin))
    }
}

/// The rotation; its gradient is the rotation back.
struct Turn {
    table: Arc<RopeTable>,
    length: usize,
}

impl Turn {
    fn rows<E: Element>(&self, rows: &[E], back: bool) -> Vec<E> {
        let size = 2 * self.table.half;
        let task = task_rows(size) * size;
        let mut turned = vec![E::default(); rows.len()];
        let tasks = turned.chunks_mut(task).zip(rows.chunks(task)).enumerate();
        for_each(rows.len(), tasks, |(index, (turned, rows))| {
            let mut row = vec![0f32; size];
            for (at, (to, from)) in turned.chunks_exact_mut(size).zip(rows.chunks_exact(size)).enumerate() {
                row.iter_mut().zip(from).for_each(|(row, from)| *row = from.widen());
                self.table.turn(&mut row, (index * (task / size) + at) % self.length, back);
                to.iter_mut().zip(&row).for_each(|(to, row)| *to = E::narrow(*row));
            }
        });
        turned
    }
}

impl CustomOp1 for Turn {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = for_element!(x, E => storage(self.rows(values::<E>(x, layout)?, false)));
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let dx = for_element!(x, E => tensor(self.rows(lend(&grad).values::<E>()?, true), x.shape()))?;
        Ok(Some(dx))
    }
}
