//! The convolution with fixed weights against its definition.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{FixedConv3d, Padding};
use cola_random::{normals, stream};
use proptest::prelude::*;

fn numbers(name: &str, shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product();
    Tensor::from_vec(normals(count, &mut stream(11, name, 0, 0)), shape, &Device::Cpu)?.to_dtype(DType::F32)
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
    bias: bool,
    relu: bool,
}

impl Case {
    fn operands(&self) -> Result<[Tensor; 3]> {
        let ([from, to], [t, h, w], [kt, kh, kw]) = (self.channels, self.size, self.kernel);
        let scale = f64::sqrt((from * kt * kh * kw) as f64).recip();
        Ok([
            numbers("x", &[self.batch, from, t, h, w])?,
            (numbers("weight", &[to, from, kt, kh, kw])? * scale)?,
            numbers("bias", &[to])?,
        ])
    }

    fn conv(&self, weight: &Tensor, bias: &Tensor) -> Result<FixedConv3d> {
        let conv = FixedConv3d::new(weight, self.bias.then_some(bias))?
            .with_stride(self.stride)?
            .with_padding(self.padding);
        Ok(if self.relu { conv.with_relu() } else { conv })
    }

    /// Product by product, in f64.
    fn defined(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        let [x, weight, bias] = self.operands()?;
        let doubles = |x: &Tensor| x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (x, weight, bias) = (doubles(&x)?, doubles(&weight)?, doubles(&bias)?);
        let ([from, to], [t, h, w], [kt, kh, kw]) = (self.channels, self.size, self.kernel);
        let zeros = self.padding.around(self.size, self.kernel, self.stride);
        let result: [usize; 3] = std::array::from_fn(|side| {
            (self.size[side] + zeros[side][0] + zeros[side][1] - self.kernel[side]) / self.stride[side] + 1
        });
        let at = |side: usize, to: usize, tap: usize| {
            (to * self.stride[side] + tap).checked_sub(zeros[side][0]).filter(|at| *at < self.size[side])
        };
        let dims = vec![self.batch, to, result[0], result[1], result[2]];
        let count = dims.iter().product();
        let mut y = Vec::with_capacity(count);
        for index in 0..count {
            let (column, rest) = (index % result[2], index / result[2]);
            let (row, rest) = (rest % result[1], rest / result[1]);
            let (frame, rest) = (rest % result[0], rest / result[0]);
            let (out, sample) = (rest % to, rest / to);
            let mut sum = if self.bias { bias[out] } else { 0.0 };
            for tap in 0..from * kt * kh * kw {
                let (dx, dy, dt, channel) =
                    (tap % kw, tap / kw % kh, tap / (kw * kh) % kt, tap / (kw * kh * kt));
                let place = (at(0, frame, dt), at(1, row, dy), at(2, column, dx));
                if let (Some(frame), Some(row), Some(column)) = place {
                    sum += x[(((sample * from + channel) * t + frame) * h + row) * w + column]
                        * weight[out * from * kt * kh * kw + tap];
                }
            }
            y.push(if self.relu { sum.max(0.0) } else { sum });
        }
        Ok((dims, y))
    }

    /// Both forms agree with the definition.
    fn holds(&self) -> Result<()> {
        let (dims, expected) = self.defined()?;
        let [x, weight, bias] = self.operands()?;
        for (dtype, tolerance) in [(DType::F32, 3e-6), (DType::F64, 1e-12)] {
            let [x, weight, bias] = [x.to_dtype(dtype)?, weight.to_dtype(dtype)?, bias.to_dtype(dtype)?];
            let y = self.conv(&weight, &bias)?.forward(&x)?;
            assert_eq!((y.dims(), y.dtype()), (&*dims, dtype), "{self:?}");
            let y = y.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let scale = expected.iter().fold(1f64, |most, y| most.max(y.abs()));
            for (index, (found, expected)) in y.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() <= tolerance * scale,
                    "{self:?} in {dtype:?}: [{index}] is {found}, not {expected}"
                );
            }
        }
        Ok(())
    }
}

const NONE: Padding = Padding::Explicit([[0; 2]; 3]);

const fn around(zeros: usize) -> Padding {
    Padding::Explicit([[0; 2], [zeros; 2], [zeros; 2]])
}

fn case(
    channels: [usize; 2],
    size: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
) -> Case {
    Case { batch: 2, channels, size, kernel, stride, padding, bias: true, relu: true }
}

/// The layers of I3D, AlexNet, VGG16 and SqueezeNet in small, strides that leave rows over or skip some, one pixel.
#[test]
fn every_result_is_the_sum_of_its_window() -> Result<()> {
    let cases = [
        case([3, 9], [16, 22, 20], [7; 3], [2; 3], Padding::Same),
        case([3, 8], [9, 23, 33], [7; 3], [2; 3], Padding::Same),
        case([5, 20], [4, 14, 14], [3; 3], [1; 3], Padding::Same),
        case([5, 35], [2, 7, 7], [3; 3], [1; 3], Padding::Same),
        case([9, 17], [8, 7, 6], [1; 3], [1; 3], Padding::Same),
        case([9, 17], [2, 7, 7], [1; 3], [1; 3], NONE),
        case([6, 11], [1, 1, 1], [1; 3], [1; 3], NONE),
        case([3, 16], [1, 67, 63], [1, 11, 11], [1, 4, 4], around(2)),
        case([4, 24], [1, 15, 31], [1, 5, 5], [1; 3], around(2)),
        case([3, 8], [1, 48, 32], [1, 3, 3], [1; 3], around(1)),
        case([3, 8], [1, 66, 37], [1, 3, 3], [1, 2, 2], NONE),
        case([40, 10], [1, 45, 48], [1, 3, 3], [1; 3], around(1)),
        case([3, 4], [7, 11, 12], [1; 3], [3, 2, 2], NONE),
        case([3, 4], [7, 11, 12], [2, 2, 2], [3, 4, 4], NONE),
        case([2, 3], [1, 1, 1], [3; 3], [2; 3], Padding::Same),
        case([2, 3], [2, 3, 2], [2, 3, 3], [1, 3, 3], Padding::Explicit([[4, 3], [5, 0], [7, 9]])),
        case([1, 1], [3, 5, 6], [3, 1, 5], [1; 3], Padding::Explicit([[2, 0], [0, 0], [0, 3]])),
    ];
    for case in cases {
        case.holds()?;
        Case { bias: false, relu: false, ..case }.holds()?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn windows_of_any_size_step_and_padding(
        batch in 1..3usize,
        channels in [1..6usize, 1..20usize],
        size in [1..5usize, 1..20usize, 1..40usize],
        kernel in [1..4usize, 1..6usize, 1..6usize],
        steps in [1..4usize, 1..5usize],
        padding in proptest::option::of([[0..4usize, 0..4usize], [0..4usize, 0..4usize], [0..4usize, 0..4usize]]),
        [bias, relu] in [any::<bool>(), any::<bool>()],
    ) {
        let stride = [steps[0], steps[1], steps[1]];
        let padding = padding.map_or(Padding::Same, Padding::Explicit);
        let zeros = padding.around(size, kernel, stride);
        prop_assume!((0..3).all(|side| size[side] + zeros[side][0] + zeros[side][1] >= kernel[side]));
        Case { batch, channels, size, kernel, stride, padding, bias, relu }.holds().expect("convolved");
    }
}

/// Tasks of one strip and of many, of some frames together, of points.
#[test]
fn threads_change_no_bit() -> Result<()> {
    for case in [
        case([16, 70], [4, 14, 14], [3; 3], [1; 3], Padding::Same),
        case([3, 40], [6, 64, 60], [7; 3], [2; 3], Padding::Same),
        case([30, 70], [2, 32, 32], [1; 3], [1; 3], NONE),
    ] {
        let [x, weight, bias] = case.operands()?;
        let conv = case.conv(&weight, &bias)?;
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            pool.install(|| bits(&conv.forward(&x)?))
        };
        let one = on(1)?;
        assert!(on(2)? == one && on(5)? == one, "{case:?}");
    }
    Ok(())
}

#[test]
fn inputs_need_not_be_contiguous() -> Result<()> {
    let case = case([9, 12], [4, 10, 16], [3; 3], [1; 3], Padding::Same);
    let [_, weight, bias] = case.operands()?;
    let conv = case.conv(&weight, &bias)?;
    let x = numbers("x", &[2, 4, 9, 10, 20])?.transpose(1, 2)?.narrow(4, 3, 16)?;
    assert!(!x.is_contiguous());
    assert_eq!(bits(&conv.forward(&x)?)?, bits(&conv.forward(&x.contiguous()?)?)?);
    Ok(())
}

#[test]
fn a_nan_reaches_every_result_that_sees_it_and_no_other() -> Result<()> {
    let case = case([2, 3], [1, 6, 9], [1, 3, 3], [1; 3], around(1));
    let [_, weight, bias] = case.operands()?;
    let mut values = vec![1f32; 2 * 6 * 9];
    values[9 + 8] = f32::NAN; // second row, last column
    let x = Tensor::from_vec(values, (1, 2, 1, 6, 9), &Device::Cpu)?;
    let y = case.conv(&weight, &bias)?.forward(&x)?;
    for (index, y) in y.flatten_all()?.to_vec1::<f32>()?.iter().enumerate() {
        let (row, column) = (index / 9 % 6, index % 9);
        assert_eq!(y.is_nan(), row < 3 && column > 6, "row {row}, column {column}");
    }
    Ok(())
}

#[test]
fn inputs_that_make_no_sense_are_refused() -> Result<()> {
    let case = case([2, 3], [1, 6, 9], [1, 3, 3], [1; 3], NONE);
    let [x, weight, bias] = case.operands()?;
    let conv = case.conv(&weight, &bias)?;
    assert!(conv.forward(Var::from_tensor(&x)?.as_tensor()).is_err(), "tracked");
    assert!(conv.forward(&x.narrow(1, 0, 1)?).is_err(), "channels");
    assert!(conv.forward(&x.narrow(3, 0, 2)?).is_err(), "smaller than the kernel");
    assert!(conv.forward(&x.to_dtype(DType::F64)?).is_err(), "dtype");
    assert!(FixedConv3d::new(&weight, Some(&bias.narrow(0, 0, 2)?)).is_err(), "bias");
    assert!(conv.with_stride([1, 0, 0]).is_err(), "no step");
    Ok(())
}
