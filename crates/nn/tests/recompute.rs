//! Recomputed blocks give the bits that plain ones give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::{
    HeadNorm, Mlp, Params, Rope, SelfAttention, SelfAttentionConfig, gate_add, modulate, recompute,
};
use cola_random::{normals, stream};

const WIDTH: usize = 12;

/// Numbers of unit size, keyed by name.
fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(normals(count, &mut stream(7, name, 0, 0)), shape, &Device::Cpu).expect("a tensor")
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
}

/// Attention and feed-forward layer with a shift that is the second input: more than three parameters.
#[derive(Clone)]
struct Block {
    attention: SelfAttention,
    mlp: Mlp,
}

impl Block {
    fn new(vb: VarBuilder) -> Result<Self> {
        let config = SelfAttentionConfig { dim: WIDTH, heads: 2, causal: true, silent: false };
        let rope = Some(Rope::new(WIDTH / 2, 100.0)?);
        Ok(Self {
            attention: SelfAttention::new(&config, HeadNorm::rms, rope, vb.pp("attention"))?,
            mlp: Mlp::new(WIDTH, 3 * WIDTH, vb.pp("mlp"))?,
        })
    }

    /// Reads the shift once: an input that blocks share is summed over its readers in another order otherwise.
    fn forward(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let shift = &(shift * 0.5)?;
        let attended = self.attention.forward(&modulate(x, shift, shift, 1e-6)?)?;
        self.mlp.forward(&gate_add(x, shift, &attended)?)
    }
}

struct Found {
    value: Vec<u32>,
    grads: Vec<(String, Option<Vec<u32>>)>,
}

/// Two blocks one after the other, values and gradients of everything.
fn run(again: bool, trains: bool, tracked: [bool; 2]) -> Result<Found> {
    let params = Params::seeded(2, DType::F32, &Device::Cpu);
    let leaves = [("x", vec![3, 5, WIDTH]), ("shift", vec![3, 1, WIDTH])]
        .map(|(name, shape)| Var::from_tensor(&numbers(name, &shape)).expect("a variable"));
    let [mut x, shift] = [0, 1]
        .map(|i| if tracked[i] { leaves[i].as_tensor().clone() } else { leaves[i].as_detached_tensor() });
    for name in ["first", "second"] {
        let block = Block::new(params.builder(trains).pp(name))?;
        x = if again {
            recompute([&x, &shift], move |[x, shift]| block.forward(x, shift))?
        } else {
            block.forward(&x, &shift)?
        };
    }
    let value = bits(&x)?;
    if !trains && tracked == [false, false] {
        assert!(!x.track_op(), "nothing learns, yet there is a graph");
        return Ok(Found { value, grads: Vec::new() });
    }
    let store = (&x * numbers("gradient", x.dims()))?.sum_all()?.backward()?;
    let names = ["x", "shift"].map(String::from);
    let vars = names.into_iter().zip(leaves).chain(params.vars());
    let found = |(name, var): (String, Var)| Ok((name, store.get(&var).map(bits).transpose()?));
    Ok(Found { value, grads: vars.map(found).collect::<Result<_>>()? })
}

#[test]
fn values_and_gradients_have_the_same_bits() -> Result<()> {
    for trains in [true, false] {
        for tracked in [[true, true], [true, false], [false, true], [false, false]] {
            let (plain, again) = (run(false, trains, tracked)?, run(true, trains, tracked)?);
            assert!(
                plain.value == again.value,
                "values differ, parameters train: {trains}, inputs {tracked:?}"
            );
            assert_eq!(plain.grads.len(), again.grads.len());
            for ((name, plain), (_, again)) in plain.grads.iter().zip(&again.grads) {
                assert!(
                    plain == again,
                    "{name}: gradients differ, parameters train: {trains}, inputs {tracked:?}"
                );
            }
            let arrived = again.grads.iter().filter(|(_, grad)| grad.is_some()).count();
            let leaves = tracked.iter().filter(|tracked| **tracked).count();
            let parameters = if trains { again.grads.len() - 2 } else { 0 };
            assert_eq!(arrived, if trains || leaves > 0 { leaves + parameters } else { 0 });
        }
    }
    Ok(())
}

#[test]
fn a_block_runs_twice_and_one_without_a_gradient_once() -> Result<()> {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = |runs: &Arc<AtomicUsize>| {
        let runs = runs.clone();
        move |[x]: [&Tensor; 1]| {
            runs.fetch_add(1, Ordering::SeqCst);
            x.sqr()
        }
    };
    let x = Var::from_tensor(&numbers("x", &[4]))?;
    let y = recompute([x.as_tensor()], counted(&runs))?;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let grads = y.sum_all()?.backward()?;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(bits(grads.get(&x).expect("a gradient"))?, bits(&(x.as_tensor() * 2.0)?)?);
    assert!(!recompute([&x.as_detached_tensor()], counted(&runs))?.track_op());
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    Ok(())
}

#[test]
fn any_number_of_inputs_and_the_same_one_twice_get_their_gradients() -> Result<()> {
    let vars = ["a", "b", "c"].map(|name| Var::from_tensor(&numbers(name, &[4])).expect("a variable"));
    let [a, b, c] = vars.each_ref().map(|var| var.as_tensor());
    let block = |[a, b, c, d]: [&Tensor; 4]| a.mul(b)? + c.mul(d)?.sqr()?;
    let plain = block([a, b, c, c])?.sum_all()?.backward()?;
    let again = recompute([a, b, c, c], block)?.sum_all()?.backward()?;
    for var in &vars {
        let grad = |of: &candle_core::backprop::GradStore| bits(of.get(var).expect("a gradient"));
        assert_eq!(grad(&plain)?, grad(&again)?);
    }
    Ok(())
}
