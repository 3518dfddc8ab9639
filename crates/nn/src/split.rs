//! One wide row cut into several, each with a row of a table added: adaptive layer norm's six.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Result, Shape, Tensor};

use crate::kernel::groups::column_sum;
use crate::kernel::{lend, loops_serve, tensor};
use crate::rows::add_rows;

/// Part `i` of the last dimension plus row `i` of `table`, for each row of the table; contiguous and differentiable.
///
/// # Shapes
/// `x` `(.., n D)`, `table` `(n, D)` of the same dtype; returns `n` tensors `(.., D)`.
///
/// # Errors
/// Shapes that do not fit.
pub fn split_rows(x: &Tensor, table: &Tensor) -> Result<Vec<Tensor>> {
    let (count, width) = table.dims2()?;
    if x.dims().last() != Some(&(count * width)) {
        candle_core::bail!(
            "rows of shape {:?} cannot be cut for a table of shape {:?}",
            x.dims(),
            table.dims()
        );
    }
    if x.dtype() != DType::F32 || !loops_serve(&[x, table]) {
        let rows = add_rows(x, &table.flatten_all()?)?;
        return (0..count).map(|part| rows.narrow(D::Minus1, part * width, width)?.contiguous()).collect();
    }
    let (x, table) = (x.contiguous()?, table.contiguous()?);
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(width);
    let shape = Shape::from(shape);
    let parts = cut(&x, &table)?;
    if !x.track_op() && !table.track_op() {
        return parts.into_iter().map(|part| tensor(part, &shape)).collect();
    }
    let grads = Grads(Arc::new(Mutex::new(vec![None; count])));
    let knot = x.apply_op2(&table, Join { grads: grads.clone() })?;
    let part = |(index, values): (usize, Vec<f32>)| {
        let values = Mutex::new(values);
        knot.apply_op1(Part { index, values, shape: shape.clone(), grads: grads.clone() })
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn cut(x: &Tensor, table: &Tensor) -> Result<Vec<Vec<f32>>> {
    let (lent_x, lent_table) = (lend(x), lend(table));
    let (xs, table, (count, width)) = (lent_x.values::<f32>()?, lent_table.values::<f32>()?, table.dims2()?);
    let part = |(index, own): (usize, &[f32])| {
        let mut part = Vec::with_capacity(xs.len() / count);
        for row in xs.chunks_exact(count * width) {
            part.extend(row[index * width..][..width].iter().zip(own).map(|(x, own)| x + own));
        }
        part
    };
    Ok(table.chunks_exact(width).enumerate().map(part).collect())
}

/// The gradients of the parts that a backward pass has reached. An operation of candle has one result, and the gradient
/// of a part alone would be as wide as `x` and mostly zeros. So the parts hang on a knot of one number: a part's backward
/// leaves its gradient here, and the knot's, which always comes after them, takes all and makes one of them.
#[derive(Clone)]
struct Grads(Arc<Mutex<Vec<Option<Tensor>>>>);

impl Grads {
    fn put(&self, index: usize, grad: Tensor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(grad);
    }

    /// Leaves none behind for another backward pass.
    fn take(&self) -> Vec<Option<Tensor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().map(Option::take).collect()
    }
}

struct Part {
    index: usize,
    /// Taken by the forward pass.
    values: Mutex<Vec<f32>>,
    shape: Shape,
    grads: Grads,
}

impl CustomOp1 for Part {
    fn name(&self) -> &'static str {
        "split-rows-part"
    }

    fn cpu_fwd(&self, _knot: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((CpuStorage::F32(values), self.shape.clone()))
    }

    fn bwd(&self, knot: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.grads.put(self.index, grad.contiguous()?);
        knot.zeros_like().map(Some)
    }
}

struct Join {
    grads: Grads,
}

impl CustomOp2 for Join {
    fn name(&self) -> &'static str {
        "split-rows"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        _x_layout: &Layout,
        _table: &CpuStorage,
        _table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _knot: &Tensor,
        _grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (count, width) = table.dims2()?;
        let mut for_x = vec![0f32; if x.track_op() { x.elem_count() } else { 0 }];
        let mut for_table = vec![0f32; if table.track_op() { count * width } else { 0 }];
        for (index, grad) in self.grads.take().iter().enumerate() {
            let Some(grad) = grad else { continue };
            let lent = lend(grad);
            let grads = lent.values::<f32>()?;
            for (to, from) in for_x.chunks_exact_mut(count * width).zip(grads.chunks_exact(width)) {
                to[index * width..][..width].copy_from_slice(from);
            }
            if table.track_op() {
                for_table[index * width..][..width].copy_from_slice(&column_sum(grads, width));
            }
        }
        Ok((
            if x.track_op() { Some(tensor(for_x, x.shape())?) } else { None },
            if table.track_op() { Some(tensor(for_table, table.shape())?) } else { None },
        ))
    }
}
