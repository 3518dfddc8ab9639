//! The maximum over windows against its definition.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::{Padding, max_pool3d};
use cola_random::{normals, stream};
use proptest::prelude::*;

fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(normals(count, &mut stream(7, name, 0, 0)), shape, &Device::Cpu).expect("a tensor")
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| x.to_bits()).collect())
}

#[derive(Clone, Copy, Debug)]
struct Case {
    planes: [usize; 2],
    size: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: Padding,
}

impl Case {
    /// Window by window.
    fn defined(&self, x: &[f64]) -> Vec<f64> {
        let [frames, height, width] = self.size;
        let around = self.padding.around(self.size, self.kernel, self.stride);
        let count: [usize; 3] = std::array::from_fn(|side| {
            (self.size[side] + around[side][0] + around[side][1] - self.kernel[side]) / self.stride[side] + 1
        });
        let mut y = Vec::new();
        for plane in x.chunks_exact(frames * height * width) {
            for at in 0..count.iter().product() {
                let at = [at / (count[1] * count[2]), at / count[2] % count[1], at % count[2]];
                let range = |side: usize| {
                    let start = (at[side] * self.stride[side]) as isize - around[side][0] as isize;
                    let end = start + self.kernel[side] as isize;
                    start.max(0) as usize..(end as usize).min(self.size[side])
                };
                let mut most: f64 = f64::NEG_INFINITY;
                for (t, h, w) in range(0)
                    .flat_map(|t| range(1).map(move |h| (t, h)))
                    .flat_map(|(t, h)| range(2).map(move |w| (t, h, w)))
                {
                    most = most.max(plane[(t * height + h) * width + w]);
                }
                y.push(most);
            }
        }
        y
    }

    fn holds(&self, dtype: DType) {
        let [batch, channels] = self.planes;
        let [frames, height, width] = self.size;
        let x = numbers("x", &[batch, channels, frames, height, width])
            .to_dtype(DType::F32)
            .and_then(|x| x.to_dtype(dtype))
            .expect("numbers");
        let plain = x.to_dtype(DType::F64).and_then(|x| x.flatten_all()?.to_vec1::<f64>()).expect("values");
        let y = max_pool3d(&x, self.kernel, self.stride, self.padding).expect("pooled");
        assert_eq!(y.dtype(), dtype);
        let y = y.to_dtype(DType::F64).and_then(|y| y.flatten_all()?.to_vec1::<f64>()).expect("values");
        assert!(y == self.defined(&plain), "{self:?} in {dtype:?}");
    }
}

/// Those of I3D, AlexNet, VGG16 and SqueezeNet (whose last column and row come from rounding up).
fn cases() -> Vec<Case> {
    let same = |kernel, stride, size| Case { planes: [2, 3], size, kernel, stride, padding: Padding::Same };
    let valid = |kernel: usize, size, behind: usize| Case {
        planes: [1, 5],
        size,
        kernel: [1, kernel, kernel],
        stride: [1, 2, 2],
        padding: Padding::Explicit([[0, 0], [0, behind], [0, behind]]),
    };
    vec![
        same([1, 3, 3], [1, 2, 2], [3, 56, 56]),
        same([3, 3, 3], [2; 3], [5, 28, 28]),
        same([3, 3, 3], [1; 3], [4, 14, 14]),
        same([2, 2, 2], [2; 3], [4, 14, 14]),
        same([2, 2, 2], [2; 3], [3, 7, 5]),
        same([3, 3, 3], [1; 3], [2, 7, 7]),
        same([3, 3, 3], [1; 3], [1, 1, 1]),
        valid(3, [2, 55, 55], 0),
        valid(3, [1, 63, 40], 0),
        valid(2, [2, 64, 48], 0),
        valid(2, [1, 35, 17], 0),
        valid(3, [1, 32, 30], 1),
    ]
}

#[test]
fn each_result_is_the_largest_of_its_window() {
    for case in cases() {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            case.holds(dtype);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn windows_of_any_size_step_and_padding(
        size in [1..7usize, 1..40usize, 1..40usize],
        kernel in [1..4usize, 1..5usize, 1..5usize],
        stride in [1..4usize, 1..4usize, 1..4usize],
        around in proptest::option::of([[0..4usize, 0..4usize], [0..4usize, 0..4usize], [0..4usize, 0..4usize]]),
    ) {
        let padding = match around {
            None => Padding::Same,
            Some(around) => Padding::Explicit(std::array::from_fn(|side| {
                let [front, back] = around[side].map(|zeros| zeros.min(kernel[side] - 1));
                [front, back + kernel[side].saturating_sub(size[side] + front + back).min(kernel[side] - 1 - back)]
            })),
        };
        let taken = padding.around(size, kernel, stride);
        prop_assume!((0..3).all(|side| size[side] + taken[side][0] + taken[side][1] >= kernel[side]));
        let case = Case { planes: [2, 2], size, kernel, stride, padding };
        case.holds(DType::F32);
        case.holds(DType::F64);
    }
}

#[test]
fn a_nan_is_the_largest_of_every_window_that_sees_it() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        for at in 0..40usize {
            let values: Vec<f64> = (0..40).map(|i| if i == at { f64::NAN } else { i as f64 }).collect();
            let x = Tensor::from_vec(values, (1, 1, 1, 1, 40), &Device::Cpu)?.to_dtype(dtype)?;
            let y = max_pool3d(&x, [1, 1, 3], [1; 3], Padding::Same)?.to_dtype(DType::F64)?;
            let nans: Vec<usize> = y
                .flatten_all()?
                .to_vec1::<f64>()?
                .iter()
                .enumerate()
                .filter(|(_, y)| y.is_nan())
                .map(|(i, _)| i)
                .collect();
            let expected: Vec<usize> = (at.saturating_sub(1)..=(at + 1).min(39)).collect();
            assert_eq!(nans, expected, "{dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn inputs_need_not_be_contiguous() -> Result<()> {
    let x = numbers("x", &[2, 9, 3, 8, 40]).to_dtype(DType::F32)?;
    let turned = x.transpose(1, 2)?;
    let pool = |x: &Tensor| max_pool3d(x, [3; 3], [1, 2, 2], Padding::Same)?.flatten_all()?.to_vec1::<f32>();
    assert_eq!(pool(&turned)?, pool(&turned.contiguous()?)?);
    let part = x.narrow(1, 2, 5)?.narrow(3, 1, 6)?;
    assert_eq!(pool(&part)?, pool(&part.contiguous()?)?);
    Ok(())
}

#[test]
fn threads_change_no_bit() -> Result<()> {
    let x = numbers("x", &[1, 24, 4, 57, 57]).to_dtype(DType::F32)?;
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| bits(&max_pool3d(&x, [3; 3], [2; 3], Padding::Same)?))
    };
    let one = on(1)?;
    assert!(on(2)? == one && on(5)? == one);
    Ok(())
}

#[test]
fn inputs_that_make_no_sense_are_refused() -> Result<()> {
    let x = Tensor::zeros((1, 2, 2, 4, 4), DType::F32, &Device::Cpu)?;
    let none = Padding::Explicit([[0; 2]; 3]);
    assert!(max_pool3d(&x, [3, 1, 1], [1; 3], none).is_err(), "smaller than the kernel");
    assert!(max_pool3d(&x, [0, 1, 1], [1; 3], none).is_err(), "no window");
    assert!(max_pool3d(&x, [1; 3], [1, 0, 1], none).is_err(), "no step");
    assert!(
        max_pool3d(&x, [1, 2, 2], [1; 3], Padding::Explicit([[0; 2], [0, 2], [0; 2]])).is_err(),
        "all padding"
    );
    assert!(max_pool3d(&x.squeeze(0)?, [1; 3], [1; 3], none).is_err(), "rank");
    assert!(max_pool3d(&x.narrow(0, 0, 0)?, [1; 3], [1; 3], none).is_err(), "empty");
    let tracked = Var::from_tensor(&x)?;
    assert!(max_pool3d(tracked.as_tensor(), [1; 3], [1; 3], none).is_err(), "tracked");
    Ok(())
}
