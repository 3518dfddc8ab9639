//! Convolutions that halve or double images against their definition.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::{Params, ResizeConv};
use support::{agrees, doubles, numbers, rows_are_independent, same_on_any_number_of_threads};

#[derive(Clone, Copy, Debug)]
struct Case {
    doubles: bool,
    channels: [usize; 2],
    /// Batch, frames, height, width.
    size: [usize; 4],
}

const fn halving(channels: [usize; 2], size: [usize; 4]) -> Case {
    Case { doubles: false, channels, size }
}

const fn doubling(channels: [usize; 2], size: [usize; 4]) -> Case {
    Case { doubles: true, channels, size }
}

/// The smallest, several samples and frames, lines of whole vectors and others, planes of several strips, many channels.
const CASES: [Case; 11] = [
    halving([1, 1], [1, 1, 2, 2]),
    halving([3, 5], [2, 3, 4, 6]),
    halving([9, 17], [1, 1, 10, 32]),
    halving([2, 3], [1, 1, 90, 64]),
    halving([68, 70], [1, 1, 4, 6]),
    doubling([1, 1], [1, 1, 1, 1]),
    doubling([3, 5], [2, 3, 2, 3]),
    doubling([2, 2], [1, 1, 3, 1]),
    doubling([9, 17], [1, 1, 5, 16]),
    doubling([2, 3], [1, 1, 45, 32]),
    doubling([68, 70], [1, 1, 2, 3]),
];

impl Case {
    fn operands(&self) -> [Tensor; 3] {
        let [from, to] = self.channels;
        let [batch, frames, height, width] = self.size;
        let scale = ((from * 9) as f64).sqrt().recip();
        [
            numbers("x", &[batch, from, frames, height, width]),
            (numbers("w", &[to, from, 3, 3]) * scale).expect("scaled"),
            numbers("b", &[to]),
        ]
    }

    fn run(&self, t: &[Tensor]) -> Result<Tensor> {
        let named = [("weight".to_string(), t[1].clone()), ("bias".to_string(), t[2].clone())];
        let vb = VarBuilder::from_tensors(named.into(), t[1].dtype(), &Device::Cpu);
        let [from, to] = self.channels;
        let build = if self.doubles { ResizeConv::doubling } else { ResizeConv::halving };
        build(from, to, vb)?.forward(&t[0])
    }

    /// From the definition, number by number.
    fn by_hand(&self, t: &[Tensor]) -> Result<Vec<f64>> {
        let [from, to] = self.channels;
        let [batch, frames, height, width] = self.size;
        let (x, w, b) = (doubles(&t[0])?, doubles(&t[1])?, doubles(&t[2])?);
        let [rows, columns] = if self.doubles { [2 * height, 2 * width] } else { [height / 2, width / 2] };
        // Where a tap lies in the image, if it does.
        let place = |at: usize, tap: usize, side: usize| match self.doubles {
            true => (at + tap).checked_sub(1).filter(|at| *at < 2 * side).map(|at| at / 2),
            false => Some(2 * at + tap).filter(|at| *at < side),
        };
        let mut y = Vec::new();
        for index in 0..batch * to * frames * rows * columns {
            let (column, rest) = (index % columns, index / columns);
            let (row, rest) = (rest % rows, rest / rows);
            let (frame, rest) = (rest % frames, rest / frames);
            let (out, sample) = (rest % to, rest / to);
            let mut sum = b[out];
            for tap in 0..from * 9 {
                let (channel, tap_row, tap_column) = (tap / 9, tap / 3 % 3, tap % 3);
                let seen = (place(row, tap_row, height), place(column, tap_column, width));
                if let (Some(row), Some(column)) = seen {
                    let plane = (sample * from + channel) * frames + frame;
                    sum += w[out * from * 9 + tap] * x[(plane * height + row) * width + column];
                }
            }
            y.push(sum);
        }
        Ok(y)
    }
}

#[test]
fn the_composed_form_is_the_definition() -> Result<()> {
    for case in CASES {
        let operands = case.operands().map(|t| t.to_dtype(DType::F64).expect("f64"));
        let found = doubles(&case.run(&operands)?)?;
        let expected = case.by_hand(&operands)?;
        assert_eq!(found.len(), expected.len(), "{case:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{case:?}: {found} {expected}");
        }
    }
    Ok(())
}

#[test]
fn the_fused_form_agrees_with_the_composed_one() -> Result<()> {
    for case in CASES {
        let run = |t: &[Tensor]| case.run(t);
        agrees(&format!("{case:?}"), &case.operands(), &run, &run)?;
    }
    Ok(())
}

#[test]
fn the_bits_do_not_depend_on_threads() -> Result<()> {
    for case in [halving([24, 40], [2, 1, 32, 20]), doubling([40, 24], [2, 1, 16, 11])] {
        same_on_any_number_of_threads(&format!("{case:?}"), &case.operands(), &|t| case.run(t))?;
    }
    Ok(())
}

#[test]
fn samples_are_independent() -> Result<()> {
    for case in [CASES[1], CASES[6]] {
        let [x, w, b] = case.operands();
        rows_are_independent("resize", &x, &|x| case.run(&[x.clone(), w.clone(), b.clone()]))?;
    }
    Ok(())
}

#[test]
fn a_frozen_layer_passes_gradient_and_receives_none() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    for layer in [
        ResizeConv::halving(2, 2, params.frozen().pp("down"))?,
        ResizeConv::doubling(2, 2, params.frozen().pp("up"))?,
    ] {
        let x = Var::from_tensor(&numbers("x", &[1, 2, 1, 4, 4]))?;
        let grads = layer.forward(&x)?.sqr()?.sum_all()?.backward()?;
        assert!(grads.get(x.as_tensor()).is_some());
        for (name, var) in params.vars() {
            assert!(grads.get(var.as_tensor()).is_none(), "{name}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_its_numbers() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let layer = ResizeConv::halving(2, 3, params.frozen())?;
    for shape in [[1, 4, 1, 4, 4], [1, 2, 1, 4, 5]] {
        let error = layer.forward(&numbers("x", &shape)).expect_err("refused").to_string();
        assert!(error.contains(&format!("{shape:?}")) && error.contains("even"), "{error}");
    }
    Ok(())
}
