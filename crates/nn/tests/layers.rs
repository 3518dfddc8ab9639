//! The fused operations against their definitions.

mod support;

use candle_core::{D, DType, Device, Result, Tensor};
use cola_nn::{
    GatedMlp, LayerNorm, Linear, Mlp, Params, RmsNorm, gate_add, gelu, gelu_erf, layer_norm, modulate,
    rms_norm, silu,
};
use support::{agrees, bits, numbers, rows_are_independent, same_on_any_number_of_threads};

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

fn composed_gelu(x: &Tensor) -> Result<Tensor> {
    let u = ((x + (x.powf(3.0)? * 0.044715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
    (x * 0.5)?.mul(&(u.tanh()? + 1.0)?)
}

fn composed_gelu_erf(x: &Tensor) -> Result<Tensor> {
    (x * 0.5)?.mul(&((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)?)
}

fn composed_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    centred.broadcast_div(&(centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?)
}

/// Small, odd, wide, and enough elements for several threads.
const SHAPES: [&[usize]; 4] = [&[2, 3], &[3, 5, 17], &[1, 2, 4, 96], &[40, 17, 128]];

#[test]
fn activations_agree_with_their_formulas() -> Result<()> {
    for shape in SHAPES {
        let x = (numbers("x", shape) * 3.0)?;
        agrees("gelu", std::slice::from_ref(&x), &|x| gelu(&x[0]), &|x| composed_gelu(&x[0]))?;
        agrees("gelu erf", std::slice::from_ref(&x), &|x| gelu_erf(&x[0]), &|x| composed_gelu_erf(&x[0]))?;
        agrees("silu", &[x], &|x| silu(&x[0]), &|x| x[0].mul(&sigmoid(&x[0])?))?;
    }
    Ok(())
}

#[test]
fn activations_are_finite_far_out_and_keep_nan() -> Result<()> {
    let x = Tensor::new(&[-1e4f32, -100.0, 100.0, 1e4, f32::NAN], &Device::Cpu)?;
    for y in [gelu(&x)?, gelu_erf(&x)?, silu(&x)?] {
        let y = y.to_vec1::<f32>()?;
        assert!(y[0].abs() < 1e-30 && y[1].abs() < 1e-30, "{y:?}");
        assert_eq!(y[2..4], [100.0, 1e4]);
        assert!(y[4].is_nan());
    }
    Ok(())
}

#[test]
fn linear_agrees_with_its_formula() -> Result<()> {
    for (lead, in_dim, out_dim) in
        [(&[1usize][..], 3, 2), (&[4, 5], 17, 9), (&[2, 3, 4], 64, 96), (&[600], 48, 130)]
    {
        let shape: Vec<usize> = lead.iter().copied().chain([in_dim]).collect();
        let layer = |w: &Tensor, b: &Tensor, x: &Tensor| {
            let vb = candle_nn::VarBuilder::from_tensors(
                [("weight".to_string(), w.clone()), ("bias".to_string(), b.clone())].into(),
                x.dtype(),
                &Device::Cpu,
            );
            Linear::new(in_dim, out_dim, vb)?.forward(x)
        };
        let operands = [numbers("x", &shape), numbers("w", &[out_dim, in_dim]), numbers("b", &[out_dim])];
        agrees("linear", &operands, &|t| layer(&t[1], &t[2], &t[0]), &|t| {
            t[0].broadcast_matmul(&t[1].t()?)?.broadcast_add(&t[2])
        })?;
        same_on_any_number_of_threads("linear", &operands, &|t| layer(&t[1], &t[2], &t[0]))?;
    }
    Ok(())
}

#[test]
fn a_gated_layer_agrees_with_its_formula() -> Result<()> {
    for shape in SHAPES {
        let dim = shape[shape.len() - 1];
        let build = |dtype| {
            let params = Params::seeded(3, dtype, &Device::Cpu);
            let layer = GatedMlp::new(dim, 20, params.frozen().pp("a"), params.frozen().pp("b"))?;
            Result::Ok((params, layer))
        };
        let (singles, doubles) = (build(DType::F32)?, build(DType::F64)?);
        let pick = |dtype| if dtype == DType::F64 { &doubles } else { &singles };
        agrees("gated layer", &[numbers("x", shape)], &|x| pick(x[0].dtype()).1.forward(&x[0]), &|x| {
            let get = |name: &str| doubles.0.get(name).map(|var| var.as_detached_tensor()).expect(name);
            let both = x[0].broadcast_matmul(&get("a.weight").t()?)?.broadcast_add(&get("a.bias"))?;
            let (p, s) = (both.narrow(D::Minus1, 0, 20)?, both.narrow(D::Minus1, 20, 20)?);
            let hidden = p.mul(&s.mul(&sigmoid(&s)?)?)?;
            hidden.broadcast_matmul(&get("b.weight").t()?)?.broadcast_add(&get("b.bias"))
        })?;
    }
    Ok(())
}

#[test]
fn feed_forward_layers_agree_with_their_formulas_in_every_operand() -> Result<()> {
    const HIDDEN: usize = 20;
    for shape in [&[2usize, 3][..], &[3, 5, 17], &[70, 24]] {
        let dim = shape[shape.len() - 1];
        for wide in [1, 2] {
            let operands = [
                numbers("x", shape),
                numbers("w1", &[wide * HIDDEN, dim]),
                numbers("b1", &[wide * HIDDEN]),
                (numbers("w2", &[dim, HIDDEN]) * 0.3)?,
                numbers("b2", &[dim]),
            ];
            let layer = |t: &[Tensor]| {
                let names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"].map(String::from);
                let named = names.into_iter().zip(t[1..].iter().cloned()).collect();
                let vb = candle_nn::VarBuilder::from_tensors(named, t[0].dtype(), &Device::Cpu);
                if wide == 1 {
                    Mlp::new(dim, HIDDEN, vb)?.forward(&t[0])
                } else {
                    GatedMlp::new(dim, HIDDEN, vb.pp("fc1"), vb.pp("fc2"))?.forward(&t[0])
                }
            };
            agrees("feed-forward layer", &operands, &layer, &|t| {
                let hidden = t[0].broadcast_matmul(&t[1].t()?)?.broadcast_add(&t[2])?;
                let hidden = if wide == 1 {
                    composed_gelu(&hidden)?
                } else {
                    let part = |start| hidden.narrow(D::Minus1, start, HIDDEN);
                    part(0)?.mul(&part(HIDDEN)?)?.mul(&sigmoid(&part(HIDDEN)?)?)?
                };
                hidden.broadcast_matmul(&t[3].t()?)?.broadcast_add(&t[4])
            })?;
        }
    }
    Ok(())
}

#[test]
fn an_exact_feed_forward_layer_agrees_with_its_formula_in_every_operand() -> Result<()> {
    let operands = [
        numbers("x", &[3, 5, 17]),
        numbers("w1", &[20, 17]),
        numbers("b1", &[20]),
        (numbers("w2", &[17, 20]) * 0.3)?,
        numbers("b2", &[17]),
    ];
    let layer = |t: &[Tensor]| {
        let names = ["ffn.0.weight", "ffn.0.bias", "ffn.3.weight", "ffn.3.bias"].map(String::from);
        let named = names.into_iter().zip(t[1..].iter().cloned()).collect();
        let vb = candle_nn::VarBuilder::from_tensors(named, t[0].dtype(), &Device::Cpu);
        Mlp::exact(17, 20, vb.pp("ffn.0"), vb.pp("ffn.3"))?.forward(&t[0])
    };
    agrees("exact feed-forward layer", &operands, &layer, &|t| {
        let hidden = composed_gelu_erf(&t[0].broadcast_matmul(&t[1].t()?)?.broadcast_add(&t[2])?)?;
        hidden.broadcast_matmul(&t[3].t()?)?.broadcast_add(&t[4])
    })
}

#[test]
fn norms_agree_with_their_formulas() -> Result<()> {
    for shape in SHAPES {
        let dim = shape[shape.len() - 1];
        let (x, w, b) = ((numbers("x", shape) + 0.5)?, numbers("w", &[dim]), numbers("b", &[dim]));
        agrees("layer norm", std::slice::from_ref(&x), &|t| layer_norm(&t[0], 1e-5), &|t| {
            composed_norm(&t[0], 1e-5)
        })?;
        agrees("rms norm", &[x.clone(), w.clone()], &|t| rms_norm(&t[0], &t[1], 1e-6), &|t| {
            let root = (t[0].sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
            t[0].broadcast_div(&root)?.broadcast_mul(&t[1])
        })?;
        let builder = |tensors: &[(&str, &Tensor)]| {
            let named = tensors.iter().map(|(name, tensor)| (name.to_string(), (*tensor).clone())).collect();
            candle_nn::VarBuilder::from_tensors(named, tensors[0].1.dtype(), &Device::Cpu)
        };
        agrees(
            "layer norm with parameters",
            &[x.clone(), w.clone(), b],
            &|t| LayerNorm::new(dim, 1e-5, builder(&[("weight", &t[1]), ("bias", &t[2])]))?.forward(&t[0]),
            &|t| composed_norm(&t[0], 1e-5)?.broadcast_mul(&t[1])?.broadcast_add(&t[2]),
        )?;
        agrees(
            "clamped rms norm",
            &[x, w],
            &|t| RmsNorm::new(dim, builder(&[("g", &t[1])]))?.forward(&t[0]),
            &|t| {
                let root = t[0].sqr()?.mean_keepdim(D::Minus1)?.sqrt()?;
                t[0].broadcast_div(&root)?.broadcast_mul(&t[1])
            },
        )?;
    }
    Ok(())
}

#[test]
fn a_clamped_rms_norm_is_linear_near_zero() -> Result<()> {
    let norm = RmsNorm::new(4, Params::seeded(0, DType::F32, &Device::Cpu).frozen())?;
    let x = candle_core::Var::from_tensor(&Tensor::new(
        &[[0f32, 0.0, 0.0, 0.0], [1e-10, 0.0, 2e-10, 0.0]],
        &Device::Cpu,
    )?)?;
    let y = norm.forward(x.as_tensor())?;
    assert!(y.to_vec2::<f32>()?[1].iter().zip([0.01, 0.0, 0.02, 0.0]).all(|(y, x)| (y - x).abs() < 1e-7));
    let grads = y.sum_all()?.backward()?;
    let slope = grads.get(x.as_tensor()).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
    assert!(slope.iter().all(|slope| (slope / 1e8 - 1.0).abs() < 1e-5), "{slope:?}");
    Ok(())
}

#[test]
fn modulation_and_gates_agree_for_every_way_to_share_a_table() -> Result<()> {
    let x_shape = [4, 3, 70, 20];
    let x = numbers("x", &x_shape);
    // The last two are no plain groups: they take the composed form.
    let tables: [&[usize]; 8] = [
        &[4, 3, 1, 20],
        &[4, 1, 1, 20],
        &[1, 20],
        &[20],
        &[1, 3, 1, 20],
        &[4, 3, 70, 20],
        &[4, 1, 70, 20],
        &[70, 1],
    ];
    for shift in tables {
        for scale in [shift, &[20]] {
            let operands = [x.clone(), numbers("shift", shift), numbers("scale", scale)];
            let name = format!("modulate by {shift:?} and {scale:?}");
            agrees(&name, &operands, &|t| modulate(&t[0], &t[1], &t[2], 1e-6), &|t| {
                composed_norm(&t[0], 1e-6)?.broadcast_mul(&(&t[2] + 1.0)?)?.broadcast_add(&t[1])
            })?;
        }
        let operands = [x.clone(), numbers("gate", shift), numbers("branch", &x_shape)];
        agrees(&format!("gate of {shift:?}"), &operands, &|t| gate_add(&t[0], &t[1], &t[2]), &|t| {
            &t[0] + t[2].broadcast_mul(&t[1])?
        })?;
    }
    Ok(())
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let x = numbers("x", &[9, 8, 33, 64]);
    let table = |name| numbers(name, &[9, 1, 1, 64]);
    same_on_any_number_of_threads("gelu", std::slice::from_ref(&x), &|t| gelu(&t[0]))?;
    let operands = [x.clone(), table("shift"), numbers("scale", &[64])];
    same_on_any_number_of_threads("modulate", &operands, &|t| modulate(&t[0], &t[1], &t[2], 1e-6))?;
    let operands = [x.clone(), table("gate"), numbers("branch", x.dims())];
    same_on_any_number_of_threads("gate", &operands, &|t| gate_add(&t[0], &t[1], &t[2]))
}

#[test]
fn a_row_does_not_depend_on_other_rows() -> Result<()> {
    let x = numbers("x", &[40, 33, 64]);
    let (row, gate) = (numbers("row", &[64]), numbers("gate", &[1, 1, 64]));
    rows_are_independent("gelu", &x, &gelu)?;
    rows_are_independent("gelu erf", &x, &gelu_erf)?;
    rows_are_independent("layer norm", &x, &|x| layer_norm(x, 1e-6))?;
    rows_are_independent("modulate", &x, &|x| modulate(x, &row, &gate, 1e-6))?;
    rows_are_independent("gate", &x, &|x| gate_add(x, &gate, x))
}

#[test]
fn empty_tensors_pass() -> Result<()> {
    let x = Tensor::zeros((0, 3, 8), DType::F32, &Device::Cpu)?;
    let row = numbers("row", &[8]);
    for y in [
        gelu(&x)?,
        silu(&x)?,
        layer_norm(&x, 1e-6)?,
        rms_norm(&x, &row, 1e-6)?,
        modulate(&x, &row, &row, 1e-6)?,
    ] {
        assert_eq!(y.dims(), [0, 3, 8]);
    }
    assert_eq!(gate_add(&x, &row, &x)?.dims(), [0, 3, 8]);
    let layer = Linear::new(8, 5, Params::seeded(0, DType::F32, &Device::Cpu).trainable())?;
    assert_eq!(layer.forward(&x)?.dims(), [0, 3, 5]);
    Ok(())
}

#[test]
fn nothing_is_recorded_without_a_variable() -> Result<()> {
    let (x, row) = (numbers("x", &[4, 8]), numbers("row", &[8]));
    let layer = Linear::new(8, 5, Params::seeded(0, DType::F32, &Device::Cpu).frozen())?;
    for y in [
        gelu(&x)?,
        layer_norm(&x, 1e-6)?,
        modulate(&x, &row, &row, 1e-6)?,
        gate_add(&x, &row, &x)?,
        layer.forward(&x)?,
    ] {
        assert!(!y.track_op());
    }
    Ok(())
}

#[test]
fn a_frozen_layer_stores_no_gradient_for_its_parameters() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let layer = Linear::new(8, 5, params.frozen())?;
    let x = candle_core::Var::from_tensor(&numbers("x", &[3, 8]))?;
    let y = layer.forward(x.as_tensor())?;
    let grads = y.sum_all()?.backward()?;
    assert!(grads.get(x.as_tensor()).is_some());
    // The sum, the layer's result and x.
    assert!(grads.get_ids().count() <= 3, "{} gradients", grads.get_ids().count());
    assert_eq!(bits(&y)?, bits(&Linear::new(8, 5, params.trainable())?.forward(x.as_tensor())?)?);
    Ok(())
}
