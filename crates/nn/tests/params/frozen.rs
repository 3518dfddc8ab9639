//! Linear layers over frozen variables.

use candle_core::{DType, Result, Tensor, Var};
use cola_nn::{Linear, Params};

use crate::support::{DEVICE, build, random};

/// Output, gradient to the input, and the ids for which the store keeps a gradient.
fn backward(layer: &Linear, x: &Var, upstream: &Tensor) -> Result<(Vec<f64>, Vec<f64>, usize)> {
    let y = layer.forward(x.as_tensor())?;
    let grads = y.mul(upstream)?.sum_all()?.backward()?;
    let gradient = grads.get(x.as_tensor()).expect("a gradient of the input");
    let values = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
    Ok((values(&y)?, values(gradient)?, grads.get_ids().count()))
}

#[test]
fn a_frozen_linear_layer_passes_the_same_gradient_as_a_trained_one_and_keeps_fewer() -> Result<()> {
    // f32 and f64 take different paths on the CPU. Bits may differ: a product may be summed in another order.
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        for (rows, inputs, outputs) in [(1, 3, 5), (7, 4, 4), (32, 48, 17)] {
            let params = Params::seeded(5, dtype, &DEVICE);
            let x = Var::from_tensor(&random("x", (rows, inputs))?.to_dtype(dtype)?)?;
            let upstream = random("upstream", (rows, outputs))?.to_dtype(dtype)?;
            let trained = Linear::new(inputs, outputs, params.trainable())?;
            params.set("bias", &random("bias", outputs)?)?;
            let (y, gradient, kept) = backward(&trained, &x, &upstream)?;
            let frozen = Linear::new(inputs, outputs, params.frozen())?;
            let (same_y, same_gradient, kept_frozen) = backward(&frozen, &x, &upstream)?;
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance);
            assert!(close(&y, &same_y) && close(&gradient, &same_gradient), "{dtype:?} {rows} rows");
            assert!(kept_frozen < kept, "{dtype:?}: {kept_frozen} of {kept} gradients kept");
        }
    }
    Ok(())
}

#[test]
fn backward_through_frozen_layers_keeps_no_gradient_of_their_size() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let params = Params::seeded(1, dtype, &DEVICE);
        let (mlp, linear) = build(&params.frozen())?;
        let x = Var::from_tensor(&random("x", (2, 4))?.to_dtype(dtype)?)?;
        let grads = linear.forward(&mlp.forward(x.as_tensor())?)?.sqr()?.sum_all()?.backward()?;
        let vars = params.vars();
        let frozen = vars.iter().map(|(name, var)| (name.as_str(), var));
        let complaints = cola_golden::gradients_cover(&grads, [("x", &x)], frozen)?;
        assert!(complaints.is_empty(), "{complaints:#?}");
        for id in grads.get_ids() {
            let dims = grads.get_id(*id).expect("an entry").dims();
            assert!(dims[0] == 2, "{dtype:?}: a gradient of shape {dims:?} is kept"); // not an activation of two rows
        }
    }
    Ok(())
}
