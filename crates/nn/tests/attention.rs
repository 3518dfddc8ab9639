//! Attention, head norms and rotary positions against their definitions.

mod support;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use cola_nn::{
    HeadNorm, LayerNorm, Params, Rope, SelfAttention, SelfAttentionConfig, attend, attend_tokens,
    merge_heads, split_heads,
};
use support::{agrees, bits, doubles, numbers, rows_are_independent, same_on_any_number_of_threads};

fn composed_attention(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let (_, _, length, size) = q.dims4()?;
    let scores = (q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? / (size as f64).sqrt())?;
    let scores = if causal {
        let mask: Vec<f32> = (0..length * length)
            .map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        let mask = Tensor::from_vec(mask, (length, length), q.device())?.to_dtype(q.dtype())?;
        scores.broadcast_add(&mask)?
    } else {
        scores
    };
    candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v.contiguous()?)
}

fn composed_rms(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?)?.broadcast_mul(weight)
}

fn composed_layer(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

/// Through complex numbers: `(even + i odd) e^(i p f)`.
fn composed_rope(x: &Tensor, theta: f64) -> Result<Tensor> {
    let (length, size) = (x.dim(D::Minus2)?, x.dim(D::Minus1)?);
    let angle = |p: usize, j: usize| p as f64 * theta.powf(-2.0 * j as f64 / size as f64);
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f64> =
            (0..length * size / 2).map(|i| f(angle(i / (size / 2), i % (size / 2)))).collect();
        Tensor::from_vec(values, (length, size / 2), x.device())?.to_dtype(x.dtype())
    };
    let (cos, sin) = (table(f64::cos)?, table(f64::sin)?);
    let pairs: Vec<usize> = x.dims()[..x.rank() - 1].iter().copied().chain([size / 2, 2]).collect();
    let pairs = x.reshape(pairs)?;
    let part = |i: usize| pairs.narrow(D::Minus1, i, 1)?.squeeze(D::Minus1);
    let (even, odd) = (part(0)?, part(1)?);
    let real = (even.broadcast_mul(&cos)? - odd.broadcast_mul(&sin)?)?;
    let imaginary = (even.broadcast_mul(&sin)? + odd.broadcast_mul(&cos)?)?;
    Tensor::stack(&[real, imaginary], D::Minus1)?.reshape(x.shape())
}

#[test]
fn attention_agrees_with_its_formula() -> Result<()> {
    // Short and odd, padded and not, queries fewer than keys; long ones of one block, of several, and with large heads.
    for (n, heads, queries, keys, size) in [
        (1, 1, 1, 1, 1),
        (2, 3, 5, 7, 6),
        (3, 2, 2, 16, 16),
        (9, 4, 16, 16, 24),
        (2, 2, 70, 70, 8),
        (1, 2, 300, 300, 9),
        (1, 1, 130, 520, 4),
        (1, 2, 5, 3, 136),
    ] {
        let of = |name, length| numbers(name, &[n, heads, length, size]);
        let operands = [of("q", queries), of("k", keys), of("v", keys)];
        let name = format!("attention {queries} to {keys} of {size}");
        for causal in [false, true].into_iter().filter(|causal| !causal || queries == keys) {
            agrees(&name, &operands, &|t| attend(&t[0], &t[1], &t[2], causal), &|t| {
                composed_attention(&t[0], &t[1], &t[2], causal)
            })?;
        }
    }
    Ok(())
}

#[test]
fn large_scores_do_not_overflow() -> Result<()> {
    let of = |name| numbers(name, &[1, 2, 6, 8]) * 60.0;
    let operands = [of("q")?, of("k")?, numbers("v", &[1, 2, 6, 8])];
    let y = attend(&operands[0], &operands[1], &operands[2], true)?;
    let doubled: Vec<Tensor> = operands.iter().map(|x| x.to_dtype(DType::F64)).collect::<Result<_>>()?;
    let expected = composed_attention(&doubled[0], &doubled[1], &doubled[2], true)?;
    for (found, expected) in doubles(&y)?.iter().zip(doubles(&expected)?) {
        assert!((found - expected).abs() < 2e-3, "{found}, expected {expected}");
    }
    Ok(())
}

#[test]
fn rope_agrees_with_complex_numbers() -> Result<()> {
    for shape in [&[2usize, 3][..], &[1, 5, 6], &[2, 3, 70, 24]] {
        let (shape, rope) = if shape[shape.len() - 1] % 2 == 1 {
            (vec![2, 4], Rope::new(4, 100.0)?)
        } else {
            (shape.to_vec(), Rope::new(shape[shape.len() - 1], 100.0)?)
        };
        agrees("rope", &[numbers("x", &shape)], &|t| rope.apply(&t[0]), &|t| composed_rope(&t[0], 100.0))?;
        // A shorter one after it reads the same table.
        let short = [numbers("x", &[1, shape[shape.len() - 1]])];
        agrees("rope of one", &short, &|t| rope.apply(&t[0]), &|t| Ok(t[0].clone()))?;
    }
    Ok(())
}

/// Which norm, with its parameters as operands 1.. of the compared functions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Norms {
    None,
    Rms,
    Layer,
}

fn head_norms(norms: Norms, parameters: &[Tensor]) -> Result<[HeadNorm; 2]> {
    let layer = |weight: &Tensor, bias: &Tensor| {
        let tensors = [("weight".to_string(), weight.clone()), ("bias".to_string(), bias.clone())].into();
        let vb = candle_nn::VarBuilder::from_tensors(tensors, weight.dtype(), &Device::Cpu);
        LayerNorm::new(weight.dim(0)?, 1e-5, vb).map(HeadNorm::Layer)
    };
    Ok(match norms {
        Norms::None => [HeadNorm::Identity, HeadNorm::Identity],
        Norms::Rms => [HeadNorm::Rms(parameters[0].clone()), HeadNorm::Rms(parameters[1].clone())],
        Norms::Layer => [layer(&parameters[0], &parameters[1])?, layer(&parameters[2], &parameters[3])?],
    })
}

fn composed_norms(norms: Norms, q: &Tensor, k: &Tensor, parameters: &[Tensor]) -> Result<(Tensor, Tensor)> {
    Ok(match norms {
        Norms::None => (q.clone(), k.clone()),
        Norms::Rms => (composed_rms(q, &parameters[0])?, composed_rms(k, &parameters[1])?),
        Norms::Layer => (
            composed_layer(q, &parameters[0], &parameters[1])?,
            composed_layer(k, &parameters[2], &parameters[3])?,
        ),
    })
}

fn parameters(norms: Norms, size: usize) -> Vec<Tensor> {
    let count = match norms {
        Norms::None => 0,
        Norms::Rms => 2,
        Norms::Layer => 4,
    };
    (0..count).map(|i| (numbers(&format!("parameter {i}"), &[size]) + 0.5).expect("a sum")).collect()
}

#[test]
fn attention_between_tokens_agrees_with_its_parts() -> Result<()> {
    let heads = 2;
    for (n, queries, keys, size) in [(2, 3, 5, 6), (5, 2, 16, 16), (2, 3, 66, 4), (1, 140, 3, 6)] {
        let dim = heads * size;
        // A shift of all keys changes nothing, so its gradient is rounding alone, which grows with the queries.
        let layer = (queries < 64).then_some(Norms::Layer);
        for norms in [Norms::None, Norms::Rms].into_iter().chain(layer) {
            let mut operands = vec![numbers("q", &[n, queries, dim]), numbers("kv", &[n, keys, 2 * dim])];
            operands.extend(parameters(norms, size));
            agrees(
                &format!("tokens {queries} to {keys}, {norms:?}"),
                &operands,
                &|t| {
                    let [q_norm, k_norm] = head_norms(norms, &t[2..])?;
                    attend_tokens(&t[0], &t[1], heads, &q_norm, &k_norm)
                },
                &|t| {
                    let kv = |i: usize| split_heads(&t[1].narrow(2, i * dim, dim)?, heads);
                    let (q, k) = composed_norms(norms, &split_heads(&t[0], heads)?, &kv(0)?, &t[2..])?;
                    merge_heads(&composed_attention(&q, &k, &kv(1)?, false)?)
                },
            )?;
        }
    }
    Ok(())
}

/// The layer over constant weights: `x` is the operand.
fn layer(norms: Norms, causal: bool, rope: bool, dtype: DType) -> Result<(Params, SelfAttention)> {
    let params = Params::seeded(5, dtype, &Device::Cpu);
    let config = SelfAttentionConfig { dim: 12, heads: 2, causal, silent: false };
    let rope = if rope { Some(Rope::new(6, 100.0)?) } else { None };
    let norm = |size: usize, vb: candle_nn::VarBuilder| match norms {
        Norms::None => Ok(HeadNorm::Identity),
        Norms::Rms => HeadNorm::rms(size, vb),
        Norms::Layer => HeadNorm::layer(size, vb),
    };
    let layer = SelfAttention::new(&config, norm, rope, params.frozen())?;
    Ok((params, layer))
}

fn composed_layer_of(params: &Params, norms: Norms, causal: bool, rope: bool, x: &Tensor) -> Result<Tensor> {
    let get = |name: &str| params.get(name).map(|var| var.as_detached_tensor()).expect(name);
    let linear = |x: &Tensor, name: &str| {
        x.broadcast_matmul(&get(&format!("{name}.weight")).t()?)?.broadcast_add(&get(&format!("{name}.bias")))
    };
    let qkv = linear(x, "qkv")?;
    let part = |i: usize| split_heads(&qkv.narrow(2, 12 * i, 12)?, 2);
    let names: &[&str] = match norms {
        Norms::None => &[],
        Norms::Rms => &["q_norm.weight", "k_norm.weight"],
        Norms::Layer => &["q_norm.weight", "q_norm.bias", "k_norm.weight", "k_norm.bias"],
    };
    let parameters: Vec<Tensor> = names.iter().map(|name| get(name)).collect();
    let (mut q, mut k) = composed_norms(norms, &part(0)?, &part(1)?, &parameters)?;
    if rope {
        (q, k) = (composed_rope(&q, 100.0)?, composed_rope(&k, 100.0)?);
    }
    linear(&merge_heads(&composed_attention(&q, &k, &part(2)?, causal)?)?, "proj")
}

#[test]
fn self_attention_agrees_with_its_parts_along_both_axes() -> Result<()> {
    for (norms, causal, rope) in [
        (Norms::None, true, true),
        (Norms::Rms, false, false),
        (Norms::Layer, true, false),
        (Norms::Rms, true, true),
    ] {
        let (_, single) = layer(norms, causal, rope, DType::F32)?;
        let (params, double) = layer(norms, causal, rope, DType::F64)?;
        // Over bf16 tokens the parameters stay f32.
        let pick = |x: &Tensor| if x.dtype() == DType::F64 { &double } else { &single };
        for (n, length) in [(1, 2), (3, 5), (2, 67), (1, 261)] {
            let x = numbers("x", &[n, length, 12]);
            let name = format!("self-attention {norms:?} over {length}");
            agrees(&name, &[x], &|t| pick(&t[0]).forward(&t[0]), &|t| {
                composed_layer_of(&params, norms, causal, rope, &t[0])
            })?;
            let x = numbers("x", &[n, length, 3, 12]);
            agrees(&format!("{name}, across"), &[x], &|t| pick(&t[0]).forward_across(&t[0]), &|t| {
                let columns = t[0].transpose(1, 2)?.contiguous()?.reshape((n * 3, length, 12))?;
                let y = composed_layer_of(&params, norms, causal, rope, &columns)?;
                y.reshape((n, 3, length, 12))?.transpose(1, 2)
            })?;
        }
    }
    Ok(())
}

#[test]
fn every_parameter_of_self_attention_gets_its_gradient() -> Result<()> {
    for norms in [Norms::Rms, Norms::Layer] {
        let gradients = |dtype: DType| -> Result<Vec<(String, Vec<f64>)>> {
            let params = Params::seeded(5, dtype, &Device::Cpu);
            let config = SelfAttentionConfig { dim: 12, heads: 2, causal: true, silent: false };
            let norm = |size: usize, vb: candle_nn::VarBuilder| match norms {
                Norms::Layer => HeadNorm::layer(size, vb),
                _ => HeadNorm::rms(size, vb),
            };
            let layer = SelfAttention::new(&config, norm, Some(Rope::new(6, 100.0)?), params.trainable())?;
            let x = numbers("x", &[40, 5, 12]).to_dtype(dtype)?;
            let y = (layer.forward(&x)? * numbers("gradient", &[40, 5, 12]).to_dtype(dtype)?)?.sum_all()?;
            let grads = y.backward()?;
            let found = |(name, var): (String, Var)| {
                let gradient = grads.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}: no gradient"));
                Ok((name, doubles(gradient)?))
            };
            params.vars().into_iter().map(found).collect()
        };
        for ((name, single), (_, double)) in gradients(DType::F32)?.iter().zip(&gradients(DType::F64)?) {
            let scale = double.iter().fold(1f64, |most, x| most.max(x.abs()));
            for (single, double) in single.iter().zip(double) {
                assert!((single - double).abs() < 3e-6 * scale, "{name}: {single}, expected {double}");
            }
        }
    }
    Ok(())
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let operands =
        [("q", 16), ("k", 16), ("v", 16)].map(|(name, length)| numbers(name, &[80, 4, length, 24]));
    same_on_any_number_of_threads("attention", &operands, &|t| attend(&t[0], &t[1], &t[2], true))?;
    let operands = ["q", "k", "v"].map(|name| numbers(name, &[1, 5, 300, 12]));
    same_on_any_number_of_threads("long attention", &operands, &|t| attend(&t[0], &t[1], &t[2], true))?;
    let operands = [
        numbers("q", &[80, 3, 48]),
        numbers("kv", &[80, 16, 96]),
        numbers("a", &[24]),
        numbers("b", &[24]),
        numbers("c", &[24]),
        numbers("d", &[24]),
    ];
    same_on_any_number_of_threads("tokens", &operands, &|t| {
        let [q_norm, k_norm] = head_norms(Norms::Layer, &t[2..])?;
        attend_tokens(&t[0], &t[1], 2, &q_norm, &k_norm)
    })?;
    let rope = Rope::new(24, 100.0)?;
    same_on_any_number_of_threads("rope", &operands[1..2], &|t| rope.apply(&t[0].reshape((80, 16, 4, 24))?))
}

#[test]
fn a_sequence_does_not_depend_on_others_nor_a_position_on_later_ones() -> Result<()> {
    let (_, layer) = layer(Norms::Rms, true, true, DType::F32)?;
    rows_are_independent("self-attention", &numbers("x", &[6, 4, 12]), &|x| layer.forward(x))?;
    let (x, later) = (numbers("x", &[3, 5, 12]), numbers("later", &[3, 2, 12]));
    let changed = Tensor::cat(&[x.narrow(1, 0, 3)?, later], 1)?;
    let first = |x: &Tensor| bits(&layer.forward(x)?.narrow(1, 0, 3)?);
    assert_eq!(first(&x)?, first(&changed)?);
    let across = |x: &Tensor| bits(&layer.forward_across(&x.unsqueeze(2)?)?.narrow(1, 0, 3)?);
    assert_eq!(across(&x)?, across(&changed)?);
    Ok(())
}

#[test]
fn frozen_attention_records_nothing_and_stores_one_gradient_for_the_input() -> Result<()> {
    let (_, layer) = layer(Norms::Layer, true, true, DType::F32)?;
    let x = numbers("x", &[2, 3, 12]);
    assert!(!layer.forward(&x)?.track_op());
    let x = Var::from_tensor(&x)?;
    let grads = layer.forward(x.as_tensor())?.sum_all()?.backward()?;
    assert!(grads.get(x.as_tensor()).is_some());
    // The sum, both layers' results, the attention's and x.
    assert!(grads.get_ids().count() <= 5, "{} gradients", grads.get_ids().count());
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused() -> Result<()> {
    let (q, kv) = (numbers("q", &[2, 3, 12]), numbers("kv", &[2, 3, 24]));
    let none = HeadNorm::Identity;
    assert!(attend_tokens(&q, &kv, 5, &none, &none).is_err());
    assert!(attend_tokens(&q, &kv.narrow(0, 0, 1)?, 2, &none, &none).is_err());
    let (q, k) = (numbers("q", &[2, 2, 3, 4]), numbers("k", &[2, 2, 5, 4]));
    assert!(attend(&q, &k, &k, true).is_err());
    assert!(attend(&q, &k, &q, false).is_err());
    Ok(())
}

#[test]
fn empty_batches_pass() -> Result<()> {
    let (_, layer) = layer(Norms::Rms, true, true, DType::F32)?;
    let x = Tensor::zeros((0, 3, 12), DType::F32, &Device::Cpu)?;
    assert_eq!(layer.forward(&x)?.dims(), [0, 3, 12]);
    assert_eq!(Rope::new(12, 100.0)?.apply(&x)?.dims(), [0, 3, 12]);
    Ok(())
}
