//! Blocks whose activations are computed anew in the backward pass instead of being kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor,
    TensorId, Var,
};

/// Runs `block` on its inputs and forgets what it computed in between; the backward pass runs it a second time.
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
/// # Errors
/// The block's.
pub fn recompute<const N: usize>(
    inputs: [&Tensor; N],
    block: impl Fn([&Tensor; N]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    const { assert!(N > 0, "a block without inputs has nothing to be recomputed from") };
    let detached = inputs.map(Tensor::detach);
    let y = block(detached.each_ref())?;
    // The leaves of what was just computed: exactly the variables that the block uses.
    let parameters: Vec<Tensor> =
        y.sorted_nodes().into_iter().filter(|node| node.is_variable()).cloned().collect();
    if parameters.is_empty() && !inputs.iter().any(|input| input.track_op()) {
        return Ok(y);
    }
    let stash = Stash::default();
    let further: Vec<Tensor> = inputs[1..].iter().map(|input| (*input).clone()).collect();
    let anchored: Vec<Tensor> =
        parameters.iter().chain(further.iter().filter(|input| input.track_op())).cloned().collect();
    let anchor = anchor(&anchored, &stash, &y)?;
    let block = Box::new(move |x: &Tensor, further: &[Tensor]| {
        block(std::array::from_fn(|i| if i == 0 { x } else { &further[i - 1] }))
    });
    inputs[0].apply_op2(&anchor, Again { block, further, parameters, stash, y: Mutex::new(Some(y.detach())) })
}

/// Gradients of parameters and further inputs on their way from the block to the anchors.
#[derive(Clone, Default)]
struct Stash(Arc<Mutex<HashMap<TensorId, Tensor>>>);

impl Stash {
    /// Adds: a tensor may go in twice.
    fn put(&self, of: &Tensor, grad: Tensor) -> Result<()> {
        let mut grads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = match grads.get(&of.id()) {
            Some(other) => (other + &grad)?,
            None => grad,
        };
        grads.insert(of.id(), sum);
        Ok(())
    }

    fn take(&self, of: &Tensor) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&of.id())
    }
}

/// A number that depends on all of these: an operation has three operands at most, and the block has more. Backward
/// visits the anchors after the block, and they hand out what it stashed.
fn anchor(tensors: &[Tensor], stash: &Stash, like: &Tensor) -> Result<Tensor> {
    let mut all = Tensor::zeros(1, DType::F32, like.device())?;
    for group in tensors.chunks(3) {
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

type Block = dyn Fn(&Tensor, &[Tensor]) -> Result<Tensor> + Send + Sync;

/// The block as an operation on its first input and the anchor.
struct Again {
    block: Box<Block>,
    /// The other inputs, with their history.
    further: Vec<Tensor>,
    parameters: Vec<Tensor>,
    stash: Stash,
    /// The result of the first run, until the operation takes it.
    y: Mutex<Option<Tensor>>,
}

const AGAIN: &str = "recomputed-block";

impl Again {
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

    /// The gradient of the first input, if it has a history; all others are stashed.
    fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let leaf = |input: &Tensor| -> Result<Tensor> {
            let plain = input.detach();
            if input.track_op() { Ok(Var::from_tensor(&plain)?.as_tensor().clone()) } else { Ok(plain) }
        };
        let x = leaf(x)?;
        let further: Vec<Tensor> = self.further.iter().map(leaf).collect::<Result<_>>()?;
        let y = (self.block)(&x, &further)?;
        let mut grads = (y * grad.detach())?.sum_all()?.backward()?;
        let behind = self.parameters.iter().zip(&self.parameters).chain(self.further.iter().zip(&further));
        for (of, leaf) in behind {
            if let Some(grad) = grads.remove(leaf) {
                self.stash.put(of, grad.detach())?;
            }
        }
        Ok(grads.remove(&x).map(|grad| grad.detach()))
    }
}

impl CustomOp2 for Again {
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
        Ok((self.backward(x, grad)?, Some(Tensor::zeros(1, DType::F32, grad.device())?)))
    }
}
