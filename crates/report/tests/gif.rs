//! GIFs, decoded again.

use std::fs::File;

use cola_report::{Error, Image, save_gif};

/// Delays in hundredths of a second, pixels of all frames, and how the clip repeats.
fn decoded(path: &std::path::Path) -> (Vec<u16>, Vec<Image>, gif::Repeat) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
    let (mut delays, mut frames) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay);
        let rgb = frame.buffer.chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).collect();
        frames.push(Image::from_rgb(frame.width.into(), frame.height.into(), rgb).unwrap());
    }
    (delays, frames, decoder.repeat())
}

/// A disk over a gradient: thousands of colors.
fn colorful(time: usize) -> Image {
    let mut rgb = Vec::new();
    for y in 0..48_usize {
        for x in 0..64_usize {
            let inside = x.abs_diff(10 + 6 * time).pow(2) + y.abs_diff(24).pow(2) < 81;
            let color = if inside { [230, 90, 40] } else { [40 + 2 * x, 160 - 2 * y, 60 + 2 * y + x] };
            rgb.extend(color.map(|value| value as u8));
        }
    }
    Image::from_rgb(64, 48, rgb).unwrap()
}

#[test]
fn a_clip_of_few_colors_comes_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    let frames: Vec<Image> = (0..5_u8)
        .map(|time| {
            Image::from_rgb(8, 8, (0..192).map(|index| (index / 3 % 40) as u8 * 6 + time % 2).collect())
                .unwrap()
        })
        .collect();
    save_gif(&path, &frames, 120, 900).unwrap();
    let (delays, back, repeat) = decoded(&path);
    assert_eq!(delays, [12, 12, 12, 12, 90]);
    assert_eq!(back, frames);
    assert_eq!(repeat, gif::Repeat::Infinite);
}

#[test]
fn a_colorful_clip_comes_back_at_30_db_or_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    let frames: Vec<Image> = (0..8).map(colorful).collect();
    save_gif(&path, &frames, 100, 100).unwrap();
    let (_, back, _) = decoded(&path);
    for (index, (frame, back)) in frames.iter().zip(&back).enumerate() {
        let square: f64 =
            frame.rgb.iter().zip(&back.rgb).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        let psnr = 10.0 * (255.0 * 255.0 * frame.rgb.len() as f64 / square).log10();
        assert!(psnr > 30.0, "frame {index}: {psnr:.1} dB");
    }
}

#[test]
fn a_still_background_does_not_flicker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    let frames: Vec<Image> = (0..8).map(colorful).collect();
    save_gif(&path, &frames, 100, 100).unwrap();
    let (_, back, _) = decoded(&path);
    // The top row is never under the disk.
    for frame in &back {
        assert_eq!(frame.rgb[..3 * 64], back[0].rgb[..3 * 64]);
    }
}

#[test]
fn delays_below_what_players_honor_are_raised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    save_gif(&path, &[Image::new(2, 2, [9; 3]), Image::new(2, 2, [1; 3])], 4, 0).unwrap();
    assert_eq!(decoded(&path).0, [2, 2]);
}

#[test]
fn frames_that_make_no_gif_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    assert!(matches!(save_gif(&path, &[], 100, 0), Err(Error::NoFrames { .. })));
    let frames = [Image::new(2, 2, [9; 3]), Image::new(2, 3, [9; 3])];
    let error = save_gif(&path, &frames, 100, 0).unwrap_err();
    assert!(error.to_string().contains("clip.gif, frame 1"), "{error}");
    let wide = Image::new(65_536, 1, [9; 3]);
    assert!(matches!(save_gif(&path, &[wide], 100, 0), Err(Error::GifSize { width: 65_536, .. })));
    assert!(!path.exists());
}
