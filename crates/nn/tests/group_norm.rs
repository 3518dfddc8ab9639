//! The norm over groups of channels against its definition.

mod support;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::{GroupNorm, Params};
use support::{agrees, numbers, rows_are_independent, same_on_any_number_of_threads};

/// Groups and shape: few numbers, odd sizes, one group, a group for each channel, more than one run.
const CASES: [(usize, &[usize]); 5] =
    [(2, &[3, 8]), (3, &[2, 6, 5, 7]), (1, &[2, 3, 2, 3, 5]), (5, &[1, 5, 3, 4, 3]), (2, &[2, 4, 5, 30, 31])];

fn layer(groups: usize, t: &[Tensor]) -> Result<GroupNorm> {
    let named = [("weight".to_string(), t[1].clone()), ("bias".to_string(), t[2].clone())];
    let vb = VarBuilder::from_tensors(named.into(), t[1].dtype(), &Device::Cpu);
    GroupNorm::new(groups, t[1].dim(0)?, 1e-5, vb)
}

fn operands(shape: &[usize]) -> Result<[Tensor; 3]> {
    Ok([(numbers("x", shape) + 0.7)?, numbers("w", &[shape[1]]), numbers("b", &[shape[1]])])
}

fn composed(groups: usize, t: &[Tensor]) -> Result<Tensor> {
    let x = t[0].reshape((t[0].dim(0)?, groups, ()))?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let normed = centred.broadcast_div(&(centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?)?;
    let mut table = vec![1; t[0].rank()];
    table[1] = t[0].dim(1)?;
    normed
        .reshape(t[0].shape())?
        .broadcast_mul(&t[1].reshape(table.as_slice())?)?
        .broadcast_add(&t[2].reshape(table.as_slice())?)
}

#[test]
fn both_forms_agree_with_the_formula() -> Result<()> {
    for (groups, shape) in CASES {
        let operands = operands(shape)?;
        agrees("norm", &operands, &|t| layer(groups, t)?.forward(&t[0]), &|t| composed(groups, t))?;
        agrees("norm with silu", &operands, &|t| layer(groups, t)?.forward_silu(&t[0]), &|t| {
            let y = composed(groups, t)?;
            y.mul(&(y.neg()?.exp()? + 1.0)?.recip()?)
        })?;
    }
    Ok(())
}

#[test]
fn the_bits_do_not_depend_on_threads_nor_on_other_samples() -> Result<()> {
    let operands = operands(&[4, 6, 3, 64, 64])?;
    same_on_any_number_of_threads("norm", &operands, &|t| layer(2, t)?.forward_silu(&t[0]))?;
    rows_are_independent("norm", &operands[0], &|x| layer(2, &operands)?.forward_silu(x))
}

#[test]
fn a_frozen_norm_passes_gradient_and_receives_none() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let norm = GroupNorm::new(2, 4, 1e-5, params.frozen())?;
    let x = Var::from_tensor(&numbers("x", &[1, 4, 3]))?;
    let grads = norm.forward_silu(&x)?.sqr()?.sum_all()?.backward()?;
    assert!(grads.get(x.as_tensor()).is_some());
    assert!(params.vars().iter().all(|(_, var)| grads.get(var.as_tensor()).is_none()));
    Ok(())
}

#[test]
fn impossible_sizes_are_refused_with_their_numbers() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let error = GroupNorm::new(3, 4, 1e-5, params.frozen()).expect_err("refused").to_string();
    assert!(error.contains('3') && error.contains('4'), "{error}");
    let norm = GroupNorm::new(2, 4, 1e-5, params.frozen())?;
    assert!(norm.forward(&numbers("x", &[1, 6, 2])).is_err());
    Ok(())
}
