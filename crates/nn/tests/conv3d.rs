//! The causal convolution against its definition, and what a frozen weight costs.

mod support;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use cola_nn::{CausalConv3d, Params};
use support::{agrees, doubles, numbers, rows_are_independent, same_on_any_number_of_threads};

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    channels: [usize; 2],
    kernel: [usize; 3],
    time_stride: usize,
    size: [usize; 3],
}

const fn case(
    batch: usize,
    channels: [usize; 2],
    kernel: [usize; 3],
    time_stride: usize,
    size: [usize; 3],
) -> Case {
    Case { batch, channels, kernel, time_stride, size }
}

/// Sizes below and above a tile, odd ones, one frame, one pixel, kernels that are not cubes, frames that a stride leaves
/// over, channels that no block divides, lines of whole vectors, many channels, planes of several strips.
const CASES: [Case; 15] = [
    case(1, [1, 1], [1, 1, 1], 1, [1, 1, 1]),
    case(2, [3, 5], [3, 3, 3], 1, [4, 5, 3]),
    case(1, [2, 9], [3, 3, 3], 2, [6, 3, 4]),
    case(2, [5, 3], [3, 3, 3], 2, [5, 2, 7]),
    case(1, [4, 4], [3, 3, 3], 3, [7, 4, 4]),
    case(1, [9, 17], [1, 1, 1], 1, [3, 7, 5]),
    case(2, [3, 2], [1, 3, 3], 1, [2, 6, 6]),
    case(1, [2, 3], [3, 1, 5], 1, [3, 3, 8]),
    case(1, [2, 2], [2, 5, 3], 2, [4, 6, 5]),
    case(1, [30, 26], [3, 3, 3], 1, [2, 9, 11]),
    case(1, [3, 35], [3, 3, 3], 1, [1, 40, 37]),
    case(1, [3, 9], [3, 3, 3], 2, [4, 5, 16]),
    case(1, [2, 3], [1, 3, 3], 1, [2, 45, 32]),
    case(1, [1, 1], [1, 1, 1], 1, [1, 41, 57]),
    case(1, [260, 264], [3, 3, 3], 1, [2, 1, 2]),
];

impl Case {
    fn operands(&self) -> [Tensor; 3] {
        let ([from, to], [depth, height, width]) = (self.channels, self.kernel);
        let [frames, rows, columns] = self.size;
        let scale = ((from * depth * height * width) as f64).sqrt().recip();
        [
            numbers("x", &[self.batch, from, frames, rows, columns]),
            (numbers("w", &[to, from, depth, height, width]) * scale).expect("scaled"),
            numbers("b", &[to]),
        ]
    }

    fn layer(&self, t: &[Tensor]) -> Result<CausalConv3d> {
        let named = [("weight".to_string(), t[1].clone()), ("bias".to_string(), t[2].clone())];
        let vb = VarBuilder::from_tensors(named.into(), t[1].dtype(), &Device::Cpu);
        CausalConv3d::new(self.channels[0], self.channels[1], self.kernel, vb)?
            .with_time_stride(self.time_stride)
    }

    /// From the definition, number by number.
    fn by_hand(&self, t: &[Tensor]) -> Result<Vec<f64>> {
        let ([from, to], [depth, height, width]) = (self.channels, self.kernel);
        let [frames, rows, columns] = self.size;
        let (x, w, b) = (doubles(&t[0])?, doubles(&t[1])?, doubles(&t[2])?);
        let front = depth - 1 + 1 - self.time_stride;
        let mut y = Vec::new();
        for index in 0..self.batch * to * (frames / self.time_stride) * rows * columns {
            let (column, rest) = (index % columns, index / columns);
            let (row, rest) = (rest % rows, rest / rows);
            let (frame, rest) = (rest % (frames / self.time_stride), rest / (frames / self.time_stride));
            let (out, sample) = (rest % to, rest / to);
            let mut sum = b[out];
            for tap in 0..from * depth * height * width {
                let (kx, rest) = (tap % width, tap / width);
                let (ky, rest) = (rest % height, rest / height);
                let (kt, channel) = (rest % depth, rest / depth);
                let place = [
                    (frame * self.time_stride + kt).checked_sub(front).filter(|frame| *frame < frames),
                    (row + ky).checked_sub(height / 2).filter(|row| *row < rows),
                    (column + kx).checked_sub(width / 2).filter(|column| *column < columns),
                ];
                if let [Some(frame), Some(row), Some(column)] = place {
                    let plane = (sample * from + channel) * frames + frame;
                    sum += w[out * from * depth * height * width + tap]
                        * x[(plane * rows + row) * columns + column];
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
        let found = doubles(&case.layer(&operands)?.forward(&operands[0])?)?;
        let expected = case.by_hand(&operands)?;
        assert_eq!(found.len(), expected.len(), "{case:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{case:?}: {found} {expected}");
        }
    }
    Ok(())
}

#[test]
fn the_composed_form_has_the_slope_of_finite_differences() -> Result<()> {
    for case in CASES {
        let operands = case.operands().map(|t| t.to_dtype(DType::F64).expect("f64"));
        let vars: Vec<Var> = operands.iter().map(Var::from_tensor).collect::<Result<_>>()?;
        let loss = |t: &[Tensor]| {
            let y = case.layer(t)?.forward(&t[0])?;
            (&y * numbers("gradient", y.dims()).to_dtype(DType::F64)?)?.sum_all()
        };
        let leaves: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let grads = loss(&leaves)?.backward()?;
        for (which, var) in vars.iter().enumerate() {
            let direction = numbers("direction", var.dims()).to_dtype(DType::F64)?;
            let shifted = |by: f64| {
                let mut t = operands.to_vec();
                t[which] = (&t[which] + (&direction * by)?)?;
                loss(&t)?.to_scalar::<f64>()
            };
            // The loss is linear in each operand: the difference is exact but for rounding.
            let expected = (shifted(0.5)? - shifted(-0.5)?) / 1.0;
            let gradient = grads.get(var.as_tensor()).expect("a gradient");
            let found = (gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
            assert!((found - expected).abs() < 1e-9, "{case:?}, operand {which}: {found} {expected}");
        }
    }
    Ok(())
}

#[test]
fn the_fused_form_agrees_with_the_composed_one() -> Result<()> {
    for case in CASES {
        let layer = |t: &[Tensor]| case.layer(t)?.forward(&t[0]);
        let double = |t: &[Tensor]| layer(t);
        agrees(&format!("{case:?}"), &case.operands(), &layer, &double)?;
    }
    Ok(())
}

#[test]
fn the_bits_do_not_depend_on_threads() -> Result<()> {
    for case in [
        case(2, [24, 40], [3, 3, 3], 1, [4, 16, 16]),
        case(1, [40, 24], [3, 3, 3], 2, [6, 20, 13]),
        case(1, [130, 70], [1, 1, 1], 1, [3, 24, 24]),
        case(1, [264, 260], [3, 3, 3], 1, [3, 4, 16]),
    ] {
        let operands = case.operands();
        same_on_any_number_of_threads(&format!("{case:?}"), &operands, &|t| case.layer(t)?.forward(&t[0]))?;
    }
    Ok(())
}

#[test]
fn samples_are_independent() -> Result<()> {
    let case = CASES[1];
    let operands = case.operands();
    rows_are_independent("conv", &operands[0], &|x| case.layer(&operands)?.forward(x))
}

#[test]
fn later_frames_do_not_change_earlier_ones() -> Result<()> {
    let case = CASES[9];
    let operands = case.operands();
    let layer = case.layer(&operands)?;
    let changed = Tensor::cat(&[operands[0].narrow(2, 0, 1)?, (operands[0].narrow(2, 1, 1)? * 2.0)?], 2)?;
    let first = |x: &Tensor| support::bits(&layer.forward(x)?.narrow(2, 0, 1)?.contiguous()?);
    assert!(first(&operands[0])? == first(&changed)?);
    Ok(())
}

#[test]
fn half_floats_are_summed_in_single_precision() -> Result<()> {
    let case = case(1, [64, 8], [3, 3, 3], 1, [3, 6, 6]);
    let halves = case.operands().map(|t| t.to_dtype(DType::BF16).expect("bf16"));
    let singles = halves.clone().map(|t| t.to_dtype(DType::F32).expect("f32"));
    let found = case.layer(&halves)?.forward(&halves[0])?;
    assert_eq!(found.dtype(), DType::BF16);
    let expected = case.layer(&singles)?.forward(&singles[0])?.to_dtype(DType::BF16)?;
    assert_eq!(doubles(&found)?, doubles(&expected)?);
    Ok(())
}

#[test]
fn a_frozen_layer_passes_gradient_and_receives_none() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let layer = CausalConv3d::new(2, 3, [3, 3, 3], params.frozen())?;
    let x = Var::from_tensor(&numbers("x", &[1, 2, 3, 4, 4]))?;
    let grads = layer.forward(&x)?.sqr()?.sum_all()?.backward()?;
    assert!(grads.get(x.as_tensor()).is_some());
    for (name, var) in params.vars() {
        assert!(grads.get(var.as_tensor()).is_none(), "{name}");
    }
    Ok(())
}

#[test]
fn impossible_sizes_are_refused_with_their_numbers() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let message = |result: Result<CausalConv3d>| result.expect_err("refused").to_string();
    assert!(message(CausalConv3d::new(2, 3, [3, 2, 3], params.frozen())).contains("[3, 2, 3]"));
    let layer = CausalConv3d::new(2, 3, [3, 3, 3], params.frozen())?;
    assert!(message(layer.clone().with_time_stride(4)).contains("time stride 4"));
    let layer = layer.with_time_stride(2)?;
    for shape in [[1, 4, 4, 4, 4], [1, 2, 1, 4, 4]] {
        let error = layer.forward(&numbers("x", &shape)).expect_err("refused").to_string();
        assert!(error.contains(&format!("{shape:?}")), "{error}");
    }
    Ok(())
}

#[test]
fn images_are_convolved_frame_by_frame() -> Result<()> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    let layer = CausalConv3d::of_images(3, 4, 3, params.trainable())?;
    assert_eq!(params.get("weight").expect("a weight").dims(), [4, 3, 3, 3]);
    let x = numbers("x", &[2, 3, 1, 5, 4]);
    let weight = params.get("weight").expect("a weight");
    let found = layer.forward(&x)?.squeeze(2)?;
    let expected = x.squeeze(2)?.conv2d(&weight, 1, 1, 1, 1)?;
    for (found, expected) in doubles(&found)?.iter().zip(doubles(&expected)?) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    let grads = layer.forward(&x)?.sqr()?.sum_all()?.backward()?;
    for (name, var) in params.vars() {
        assert_eq!(grads.get(&var).expect("a gradient").dims(), var.dims(), "{name}");
    }
    assert!(CausalConv3d::of_images(3, 4, 2, params.frozen()).is_err());
    Ok(())
}
