//! Attention on a device.

use candle_core::{DType, Device, Result, Tensor};

use super::{Pair, TYPES, assert_close, device, gradients, pair};
use crate::cuda::Operand;
use crate::cuda::heads::{Given, HeadNorm, Heads, Source, Tensors};
use crate::cuda::operand::{lend, tensor};
use crate::{LayerNorm, Rope, attend, attend_tokens, merge_heads, split_heads};

/// Cosines and sines, `(length, size / 2, 2)`.
fn turns(length: usize, size: usize, device: &Device) -> Result<Tensor> {
    let angle = |i: usize| (i / size) as f64 * 10000f64.powf(-((i % size / 2 * 2) as f64) / size as f64);
    let turn = |i: usize| (if i.is_multiple_of(2) { angle(i).cos() } else { angle(i).sin() }) as f32;
    Tensor::from_vec((0..length * size).map(turn).collect(), (length, size / 2, 2), device)
}

/// What the kernels return for operands, table and rotations: the result, gradients of operands and of the table.
fn run(
    heads: &Heads,
    operands: &[&Pair],
    table: Option<&Pair>,
    turns: Option<&Tensor>,
    seeds: &Pair,
    keep: bool,
) -> Result<(Tensor, Vec<Tensor>, Option<Tensor>)> {
    let lent: Vec<_> = operands.iter().map(|pair| lend(pair.device.as_tensor())).collect();
    let given = lent.iter().map(|lent| lent.operand()).collect::<Result<Vec<Operand<'_>>>>()?;
    let table = table.map(|table| table.device.as_tensor());
    let (lent_table, lent_turns) = (table.map(lend), turns.map(lend));
    let given = Given {
        operands: heads.spread(&given)?,
        table: lent_table.as_ref().map(|lent| lent.operand()).transpose()?,
        turns: lent_turns.as_ref().map(|lent| lent.operand()).transpose()?,
    };
    let (out, saved) = heads.forward(&given)?;
    let out = tensor(out, seeds.device.shape());
    let operands: Vec<&Tensor> = operands.iter().map(|pair| pair.device.as_tensor()).collect();
    let tensors = Tensors { operands: &operands, table, turns };
    let (grads, for_table) =
        heads.backward(tensors, &out, saved.as_ref().filter(|_| keep), seeds.device.as_tensor())?;
    Ok((out, grads, for_table))
}

#[test]
fn attention_along_an_axis_is_that_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let (count, size) = (2, 24);
    let dim = count * size;
    for ((dtype, close), length) in TYPES.into_iter().flat_map(|dtype| [(dtype, 7), (dtype, 70)]) {
        // (B, L, S, 3 dim): sequences lie side by side.
        let (b, s) = (2, 3);
        let qkv = pair(&[b, length, s, 3 * dim], dtype, &device)?;
        let (table, seeds) =
            (pair(&[2, size], DType::F32, &device)?, pair(&[b, length, s, dim], dtype, &device)?);
        let source = |part: usize| Source { operand: 0, width: 3 * dim, offset: part * dim };
        let norm = |scale| Some(HeadNorm { eps: 1e-6, scale, shift: None });
        let heads = Heads {
            sources: [source(0), source(1), source(2)],
            heads: count,
            size,
            lengths: [length; 2],
            inner: s,
            causal: true,
            norms: [norm(0), norm(1)],
        };
        let rope = Rope::new(size, 10000.0)?;
        let columns = qkv.host.transpose(1, 2)?.contiguous()?.reshape((b * s, length, 3 * dim))?;
        let part = |index: usize| split_heads(&columns.narrow(2, index * dim, dim)?.contiguous()?, count);
        let ready = |index: usize| {
            let weight = table.host.get(index)?;
            rope.apply(&crate::rms_norm(&part(index)?, &weight, 1e-6)?)
        };
        let y = merge_heads(&attend(&ready(0)?, &ready(1)?, &part(2)?, true)?)?;
        let y = y.reshape((b, s, length, dim))?.transpose(1, 2)?.contiguous()?;
        let grads = gradients(&y, &seeds)?;
        let (out, found, for_table) =
            run(&heads, &[&qkv], Some(&table), Some(&turns(length, size, &device)?), &seeds, true)?;
        assert_close("attention", &out, &y, close)?;
        assert_close("attention's gradient", &found[0], grads.of(&qkv), 3.0 * close)?;
        assert_close("norms' gradient", &for_table.unwrap(), grads.of(&table), 3.0 * close)?;
    }
    Ok(())
}

#[test]
fn attention_to_other_tokens_is_that_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let (count, size) = (3, 10);
    let dim = count * size;
    for ((dtype, close), keys) in TYPES.into_iter().flat_map(|dtype| [(dtype, 20), (dtype, 90)]) {
        let (rows, queries) = (2, 5);
        let (q, kv) =
            (pair(&[rows, queries, dim], dtype, &device)?, pair(&[rows, keys, 2 * dim], dtype, &device)?);
        let (table, seeds) =
            (pair(&[4, size], DType::F32, &device)?, pair(&[rows, queries, dim], dtype, &device)?);
        let source = |operand, width, offset| Source { operand, width, offset };
        let norm = |scale| Some(HeadNorm { eps: 1e-5, scale, shift: Some(scale + 1) });
        let heads = Heads {
            sources: [source(0, dim, 0), source(1, 2 * dim, 0), source(1, 2 * dim, dim)],
            heads: count,
            size,
            lengths: [queries, keys],
            inner: 1,
            causal: false,
            norms: [norm(0), norm(2)],
        };
        let layer = |row: usize| {
            let (weight, bias) = (table.host.get(row)?, table.host.get(row + 1)?);
            Ok::<_, candle_core::Error>(crate::HeadNorm::Layer(LayerNorm { weight, bias, eps: 1e-5 }))
        };
        let y = attend_tokens(&q.host, &kv.host, count, &layer(0)?, &layer(2)?)?;
        let grads = gradients(&y, &seeds)?;
        let (out, found, for_table) = run(&heads, &[&q, &kv], Some(&table), None, &seeds, false)?;
        assert_close("attention", &out, &y, close)?;
        assert_close("queries' gradient", &found[0], grads.of(&q), 3.0 * close)?;
        assert_close("keys' and values' gradient", &found[1], grads.of(&kv), 3.0 * close)?;
        assert_close("norms' gradient", &for_table.unwrap(), grads.of(&table), 3.0 * close)?;
    }
    Ok(())
}

#[test]
fn attention_of_separate_operands_is_that_of_the_host() -> Result<()> {
    let Some(device) = device() else { return Ok(()) };
    let size = 20;
    for ((dtype, close), length) in TYPES.into_iter().flat_map(|dtype| [(dtype, 12), (dtype, 80)]) {
        let dims = [2, 3, length, size];
        let (q, k) = (pair(&dims, dtype, &device)?, pair(&dims, dtype, &device)?);
        let (v, seeds) = (pair(&dims, dtype, &device)?, pair(&dims, dtype, &device)?);
        let heads = Heads {
            sources: [0, 1, 2].map(|operand| Source { operand, width: size, offset: 0 }),
            heads: 1,
            size,
            lengths: [length; 2],
            inner: 1,
            causal: false,
            norms: [None, None],
        };
        let y = attend(&q.host, &k.host, &v.host, false)?;
        let grads = gradients(&y, &seeds)?;
        let (out, found, for_table) = run(&heads, &[&q, &k, &v], None, None, &seeds, true)?;
        assert_close("attention", &out, &y, close)?;
        for (found, operand) in found.iter().zip([&q, &k, &v]) {
            assert_close("operand's gradient", found, grads.of(operand), 3.0 * close)?;
        }
        assert!(for_table.is_none());
    }
    Ok(())
}
