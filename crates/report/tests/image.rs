//! Pictures: what is drawn is there, and a saved file says the same.

use std::io::Cursor;

use cola_report::{Error, Font, Image};

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

fn decoded(bytes: &[u8]) -> Image {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    Image::from_rgb(info.width as usize, info.height as usize, rgb).unwrap()
}

#[test]
fn a_saved_png_decodes_to_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::from_rgb(5, 3, (0..45).map(|byte| byte * 5).collect()).unwrap();
    let path = folder.path().join("image.png");
    image.save_png(&path).unwrap();
    assert_eq!(decoded(&std::fs::read(path).unwrap()), image);
}

#[test]
fn upscaling_repeats_each_pixel_as_a_block() {
    let image = Image::from_rgb(2, 1, vec![255, 0, 0, 0, 0, 255]).unwrap();
    let large = image.upscale(3);
    assert_eq!((large.width, large.height), (6, 3));
    for y in 0..3 {
        for x in 0..6 {
            assert_eq!(large.pixel(x, y), if x < 3 { RED } else { BLUE }, "({x}, {y})");
        }
    }
    assert_eq!(image.upscale(0), image);
}

#[test]
fn pasting_over_an_edge_cuts_the_picture_off() {
    let mut image = Image::new(4, 4, RED);
    image.paste(3, 2, &Image::new(9, 9, BLUE));
    let blue = (0..16).filter(|index| image.pixel(index % 4, index / 4) == BLUE);
    assert_eq!(blue.collect::<Vec<_>>(), [11, 15]);
    let before = image.clone();
    image.paste(4, 0, &Image::new(2, 2, BLUE));
    image.fill(0, 9, 2, 2, BLUE);
    image.text(100, 100, "far away", BLUE, Font::Title);
    assert_eq!(image, before);
}

#[test]
fn text_fills_the_box_that_its_font_announces_and_no_more() {
    for font in [Font::Small, Font::Body, Font::Title] {
        let text = "W|g8µ";
        let (width, height) = (font.width(text), font.height());
        let mut image = Image::new(width + 20, height + 20, [255; 3]);
        image.text(10, 10, text, [0; 3], font);
        let mut dark = 0;
        for y in 0..image.height {
            for x in 0..image.width {
                let inside = (10..10 + width).contains(&x) && (10..10 + height).contains(&y);
                assert!(inside || image.pixel(x, y) == [255; 3], "{font:?} leaves its box at ({x}, {y})");
                dark += usize::from(image.pixel(x, y)[0] < 128);
            }
        }
        assert!(dark > 5 * height, "{font:?}: only {dark} dark pixels");
    }
}

#[test]
fn upward_text_is_text_turned_to_the_left() {
    let (width, height) = (Font::Body.width("loss"), Font::Body.height());
    let mut across = Image::new(width, height, [255; 3]);
    across.text(0, 0, "loss", [0; 3], Font::Body);
    let mut upwards = Image::new(height, width, [255; 3]);
    upwards.text_upwards(0, 0, "loss", [0; 3], Font::Body);
    for y in 0..height {
        for x in 0..width {
            assert_eq!(across.pixel(x, y), upwards.pixel(y, width - 1 - x), "({x}, {y})");
        }
    }
}

#[test]
fn letters_that_the_font_lacks_are_seen_as_question_marks() {
    let draw = |text| {
        let mut image = Image::new(20, 20, [255; 3]);
        image.text(0, 0, text, [0; 3], Font::Body);
        image
    };
    assert_eq!(draw("漢"), draw("?"));
    assert_ne!(draw("?"), draw(" "));
}

#[test]
fn bytes_that_do_not_fill_the_sides_are_refused() {
    let error = Image::from_rgb(4, 2, vec![0; 23]).unwrap_err();
    assert!(matches!(error, Error::Pixels { expected: 24, found: 23, .. }), "{error}");
    let broken = Image { width: 4, height: 2, rgb: vec![0; 23] };
    assert!(matches!(broken.to_png(), Err(Error::Pixels { .. })));
    assert!(matches!(Image::new(0, 3, RED).to_png(), Err(Error::Png { .. })));
}
