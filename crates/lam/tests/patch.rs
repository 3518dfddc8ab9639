//! Pixels, patches and their order.

use candle_core::{DType, Device, Result, Tensor};
use cola_lam::{LamConfig, Pixels};
use proptest::prelude::*;

#[test]
fn imagenet_mean_becomes_zero_and_one_deviation_above_it_one() -> Result<()> {
    let config = LamConfig::tiny();
    let device = Device::Cpu;
    let by_channel = |values: [f64; 3]| {
        Tensor::new(&values, &device)?.reshape((1, 1, 3, 1, 1))?.broadcast_as((
            1,
            1,
            3,
            config.image,
            config.image,
        ))
    };
    let pixels = Pixels::new(&config, DType::F64, &device)?;
    let largest = |x: Tensor| x.abs()?.max_all()?.to_scalar::<f64>();
    assert_eq!(largest(pixels.normalise(&by_channel([0.485, 0.456, 0.406])?)?)?, 0.0);
    let above = pixels.normalise(&by_channel([0.485 + 0.229, 0.456 + 0.224, 0.406 + 0.225])?)?;
    assert!(largest((above - 1.0)?)? < 1e-14);
    Ok(())
}

#[test]
fn a_video_of_another_size_is_refused_with_both_sizes() -> Result<()> {
    let pixels = Pixels::new(&LamConfig::tiny(), DType::F32, &Device::Cpu)?;
    for shape in [vec![1, 2, 3, 16, 32], vec![1, 2, 1, 32, 32], vec![2, 3, 32, 32]] {
        let video = Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu)?;
        let text = pixels.normalise(&video).expect_err("a shape that does not fit").to_string();
        assert!(text.contains(&format!("{shape:?}")) && text.contains("3, 32, 32"), "{text}");
    }
    Ok(())
}

proptest! {
    /// Number `(row, column, channel)` of patch `(i, j)` is the pixel at `(i·P + row, j·P + column)`.
    #[test]
    fn a_patch_holds_its_pixels_row_by_row(grid in 1..4usize, patch in 1..5usize, clips in 1..3usize, length in 1..3usize) {
        let image = grid * patch;
        let config = LamConfig { image, patch, ..LamConfig::tiny() };
        let device = Device::Cpu;
        let count = clips * length * 3 * image * image;
        let frames = Tensor::arange(0f32, count as f32, &device)?.reshape((clips, length, 3, image, image))?;
        let patches = Pixels::new(&config, DType::F32, &device)?.patches(&frames)?;
        prop_assert_eq!(patches.dims(), [clips, length, grid * grid, 3 * patch * patch]);
        let rows = patches.reshape((clips * length * grid * grid, 3 * patch * patch))?.to_vec2::<f32>()?;
        for (index, row) in rows.iter().enumerate() {
            let (frame, place) = (index / (grid * grid), index % (grid * grid));
            for (number, found) in row.iter().enumerate() {
                let (y, x, channel) = (number / (3 * patch), number / 3 % patch, number % 3);
                let pixel = (frame * 3 + channel) * image * image
                    + (place / grid * patch + y) * image + place % grid * patch + x;
                prop_assert_eq!(*found, pixel as f32);
            }
        }
    }
}
