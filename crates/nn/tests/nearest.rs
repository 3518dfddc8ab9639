//! Nearest rows against the definition.

use candle_core::{DType, Device, Result, Tensor, Var};
use cola_nn::nearest_code;
use cola_random::{normals, stream};

const DEVICE: Device = Device::Cpu;

fn numbers(name: &str, shape: (usize, usize)) -> Result<Tensor> {
    Tensor::from_vec(normals(shape.0 * shape.1, &mut stream(5, name, 0, 0)), shape, &DEVICE)
}

/// The definition, in f32 and in the order of the dimensions.
fn defined(x: &Tensor, codebook: &Tensor) -> Result<Vec<u32>> {
    let (x, codes) = (x.to_dtype(DType::F32)?.to_vec2::<f32>()?, codebook.to_vec2::<f32>()?);
    let nearest = |x: &Vec<f32>| {
        let mut best = (f32::INFINITY, 0);
        for (index, code) in codes.iter().enumerate() {
            let distance = x.iter().zip(code).fold(0f32, |sum, (x, c)| sum + (x - c) * (x - c));
            if distance < best.0 {
                best = (distance, index as u32);
            }
        }
        best.1
    };
    Ok(x.iter().map(nearest).collect())
}

#[test]
fn it_is_the_definition_for_every_remainder_of_rows_and_codes() -> Result<()> {
    for (rows, codes, size) in
        [(1, 1, 1), (3, 7, 5), (4, 8, 32), (5, 9, 3), (33, 32, 32), (700, 100, 17), (50, 2000, 4)]
    {
        let (x, codebook) = (numbers("x", (rows, size))?, numbers("codes", (codes, size))?);
        let what = format!("{rows} rows, {codes} codes of {size}");
        assert_eq!(nearest_code(&x, &codebook)?.to_vec1::<u32>()?, defined(&x, &codebook)?, "{what}");
        let half = x.to_dtype(DType::BF16)?;
        assert_eq!(nearest_code(&half, &codebook)?.to_vec1::<u32>()?, defined(&half, &codebook)?, "{what}");
    }
    Ok(())
}

#[test]
fn the_composed_form_agrees() -> Result<()> {
    let (x, codebook) = (numbers("x", (200, 16))?, numbers("codes", (50, 16))?);
    let composed = nearest_code(&x.to_dtype(DType::F64)?, &codebook)?;
    assert_eq!(nearest_code(&x, &codebook)?.to_vec1::<u32>()?, composed.to_vec1::<u32>()?);
    Ok(())
}

#[test]
fn views_are_read_in_their_own_order() -> Result<()> {
    let x = numbers("x", (16, 40))?;
    let view = x.t()?.narrow(0, 3, 30)?;
    let codebook = numbers("codes", (20, 30))?.t()?.narrow(1, 2, 16)?;
    let plain = nearest_code(&view.contiguous()?, &codebook.contiguous()?)?;
    assert_eq!(nearest_code(&view, &codebook)?.to_vec1::<u32>()?, plain.to_vec1::<u32>()?);
    assert_eq!(plain.to_vec1::<u32>()?, defined(&view, &codebook)?);
    Ok(())
}

#[test]
fn the_lowest_index_wins_ties_in_any_place() -> Result<()> {
    for codes in [2, 8, 9, 30] {
        for first in 0..codes - 1 {
            let rows: Vec<f32> =
                (0..codes).flat_map(|code| if code < first { [9.0, 9.0] } else { [1.0, 2.0] }).collect();
            let codebook = Tensor::from_vec(rows, (codes, 2), &DEVICE)?;
            for dtype in [DType::F32, DType::F64] {
                let x = Tensor::new(&[[1f32, 2.0], [0.0, 0.0]], &DEVICE)?.to_dtype(dtype)?;
                assert_eq!(nearest_code(&x, &codebook)?.to_vec1::<u32>()?, [first as u32; 2]);
            }
        }
    }
    Ok(())
}

#[test]
fn rows_without_a_finite_distance_get_a_code_that_exists() -> Result<()> {
    let codebook = numbers("codes", (10, 2))?;
    let x = Tensor::new(&[[f32::NAN, 0.0], [f32::INFINITY, 0.0], [3e38, 3e38]], &DEVICE)?;
    assert_eq!(nearest_code(&x, &codebook)?.to_vec1::<u32>()?, [9, 0, 0]);
    let composed = nearest_code(&x.narrow(0, 0, 2)?.to_dtype(DType::F64)?, &codebook)?;
    assert_eq!(composed.to_vec1::<u32>()?, [9, 0]);
    Ok(())
}

#[test]
fn no_gradient_passes_and_no_rows_are_no_indices() -> Result<()> {
    let (x, codebook) = (Var::from_tensor(&numbers("x", (4, 3))?)?, numbers("codes", (5, 3))?);
    assert!(!nearest_code(&x, &codebook)?.track_op());
    assert_eq!(nearest_code(&x.narrow(0, 0, 0)?, &codebook)?.dims(), [0]);
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_both() -> Result<()> {
    let x = numbers("x", (4, 3))?;
    for codes in [(5, 2), (0, 3)] {
        let codebook = Tensor::zeros(codes, DType::F32, &DEVICE)?;
        let refusal = nearest_code(&x, &codebook).expect_err("a wrong shape").to_string();
        assert!(refusal.contains("[4, 3]") && refusal.contains(&format!("[{}, {}]", codes.0, codes.1)));
    }
    Ok(())
}
