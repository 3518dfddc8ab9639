//! Blocks whose activations are computed anew in the backward pass instead of being kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor,
    TensorId, Var,
};

/// Runs `block` on one or two inputs and forgets what it computed in between; the backward pass runs it a second time.
/// Values and gradients, those of the block's parameters included, are to the last bit what `block(inputs)` gives. (One
/// exception: an input that several blocks share and that one of them reads more than once is summed in another order.)
///
/// Costs one more forward pass of the block; saves all its activations but the inputs.
///
/// `block` must be a pure function of the inputs and of variables. Tensors with a history go in as inputs and are not
/// captured: their operations would be walked once more for each block. Noise goes in as an input, too. One backward pass
/// at a time.
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor, Var};
/// use cola_nn::{Mlp, Params, recompute};
///
/// # fn main() -> Result<()> {
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// let mlp = Mlp::new(4, 16, params.trainable())?;
/// let x = Var::from_tensor(&Tensor::ones((2, 4), DType::F32, &Device::Cpu)?)?;
/// let y = recompute([x.as_tensor()], move |[x]| mlp.forward(x))?;
/// let grads = y.sum_all()?.backward()?;
/// assert!(grads.get(&x).is_some());
/// assert!(params.vars().iter().all(|(_, var)| grads.get(var).is_some()));
/// # Ok(())
/// # }
/// ```
///
/// Another number of inputs does not compile.
///
/// # Errors
/// The block's.
pub fn recompute<const N: usize>(
    inputs: [&Tensor; N],
    block: impl Fn([&Tensor; N]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    const { assert!(N == 1 || N == 2, "a recomputed block has one or two inputs") };
    let detached = inputs.map(Tensor::detach);
    let y = block(detached.each_ref())?;
    // The leaves of what was just computed: exactly the variables that the block uses.
    let parameters: Vec<Tensor> =
        y.sorted_nodes().into_iter().filter(|node| node.is_variable()).cloned().collect();
    if parameters.is_empty() && !inputs.iter().any(|input| input.track_op()) {
        return Ok(y);
    }
    let stash = Stash::default();
    let anchor = anchor(&parameters, &stash, &y)?;
    let again = Again { block: Box::new(block), parameters, stash, y: Mutex::new(Some(y.detach())) };
    match inputs.as_slice() {
        [x] => x.apply_op2(&anchor, again),
        [x, second] => x.apply_op3(second, &anchor, again),
        _ => candle_core::bail!("a recomputed block has one or two inputs, got {N}"),
    }
}

/// Parameters' gradients on their way from the block to the anchors.
#[derive(Clone, Default)]
struct Stash(Arc<Mutex<HashMap<TensorId, Tensor>>>);

impl Stash {
    fn put(&self, of: &Tensor, grad: Tensor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of.id(), grad);
    }

    fn take(&self, of: &Tensor) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&of.id())
    }
}

/// A number that depends on all parameters: an operation has three operands at most, and the block has more. Backward
/// visits the anchors after the block, and they hand out what it stashed.
fn anchor(parameters: &[Tensor], stash: &Stash, like: &Tensor) -> Result<Tensor> {
    let mut all = Tensor::zeros(1, DType::F32, like.device())?;
    for group in parameters.chunks(3) {
        let op = Anchor { stash: stash.clone() };
        all = (&all
            + match group {
                [a] => a.apply_op1(op)?,
                [a, b] => a.apply_op2(b, op)?,
                [a, b, c, ..] => a.apply_op3(b, c, op)?,
                [] => continue,
            })?;
    }
    Ok(all)
}

struct Anchor {
    stash: Stash,
}

const ANCHOR: &str = "parameters-of-a-recomputed-block";

impl Anchor {
    fn cpu() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn cuda(like: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        let shape = Shape::from(1);
        Ok((like.device().zeros_impl(&shape, DType::F32)?, shape))
    }
}

impl CustomOp1 for Anchor {
    fn name(&self) -> &'static str {
        ANCHOR
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::cpu())
    }

    fn cuda_fwd(&self, a: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::cuda(a)
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.stash.take(a))
    }
}

impl CustomOp2 for Anchor {
    fn name(&self) -> &'static str {
        ANCHOR
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::cpu())
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::cuda(a)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.stash.take(a), self.stash.take(b)))
    }
}

impl CustomOp3 for Anchor {
    fn name(&self) -> &'static str {
        ANCHOR
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(Self::cpu())
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::cuda(a)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.stash.take(a), self.stash.take(b), self.stash.take(c)))
    }
}

type Block<const N: usize> = dyn Fn([&Tensor; N]) -> Result<Tensor> + Send + Sync;

/// The block as an operation on its inputs and the anchor.
struct Again<const N: usize> {
    block: Box<Block<N>>,
    parameters: Vec<Tensor>,
    stash: Stash,
    /// The result of the first run, until the operation takes it.
    y: Mutex<Option<Tensor>>,
}

const AGAIN: &str = "recomputed-block";

impl<const N: usize> Again<N> {
    fn first_result(&self) -> Result<Tensor> {
        match self.y.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(y) => y.contiguous(),
            None => candle_core::bail!("a recomputed block was run forward twice"),
        }
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let y = self.first_result()?;
        let (storage, layout) = y.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, y.shape().clone())),
            _ => candle_core::bail!("a recomputed block moved its input to another device"),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let y = self.first_result()?;
        let (storage, layout) = y.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, y.shape().clone())),
            _ => candle_core::bail!("a recomputed block moved its input to another device"),
        }
    }

    /// Gradients of the inputs that have a history; those of the parameters are stashed.
    fn backward(&self, inputs: [&Tensor; N], grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let leaves: Vec<Option<Var>> = inputs
            .iter()
            .map(|input| input.track_op().then(|| Var::from_tensor(&input.detach())).transpose())
            .collect::<Result<_>>()?;
        let plain = inputs.map(Tensor::detach);
        let given: [&Tensor; N] =
            std::array::from_fn(|i| leaves[i].as_ref().map_or(&plain[i], |leaf| leaf.as_tensor()));
        let y = (self.block)(given)?;
        let mut grads = (y * grad.detach())?.sum_all()?.backward()?;
        for parameter in &self.parameters {
            if let Some(grad) = grads.remove(parameter) {
                self.stash.put(parameter, grad.detach());
            }
        }
        Ok(std::array::from_fn(|i| {
            leaves[i].as_ref().and_then(|leaf| grads.remove(leaf.as_tensor())).map(|grad| grad.detach())
        }))
    }
}

impl<const N: usize> CustomOp2 for Again<N> {
    fn name(&self) -> &'static str {
        AGAIN
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [for_x, ..] = self.backward([x; N], grad)?.first().cloned().map_or([None], |grad| [grad]);
        Ok((for_x, Some(Tensor::zeros(1, DType::F32, grad.device())?)))
    }
}

impl<const N: usize> CustomOp3 for Again<N> {
    fn name(&self) -> &'static str {
        AGAIN
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(
        &self,
        x: &Tensor,
        second: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(std::array::from_fn(|i| if i == 0 { x } else { second }), grad)?;
        let mut take = |i: usize| grads.get_mut(i).and_then(Option::take);
        Ok((take(0), take(1), Some(Tensor::zeros(1, DType::F32, grad.device())?)))
    }
}
