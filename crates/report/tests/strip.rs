//! Strips: frames where they belong, at the size asked for.

use cola_report::{Error, Font, Image, side_by_side, strip};

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

/// Columns and rows between which a color lies, and how many pixels of it there are.
fn extent(image: &Image, color: [u8; 3]) -> (usize, usize, usize, usize, usize) {
    let mut found = (usize::MAX, usize::MAX, 0, 0, 0);
    for y in 0..image.height {
        for x in 0..image.width {
            if image.pixel(x, y) == color {
                found = (found.0.min(x), found.1.min(y), found.2.max(x), found.3.max(y), found.4 + 1);
            }
        }
    }
    found
}

#[test]
fn each_frame_is_upscaled_and_rows_lie_below_each_other() {
    let rows = [
        ("truth".to_owned(), vec![Image::new(16, 12, RED); 3]),
        ("model".to_owned(), vec![Image::new(16, 12, BLUE); 2]),
    ];
    let image = strip(&rows, 2).unwrap();
    let (red, blue) = (extent(&image, RED), extent(&image, BLUE));
    assert_eq!(red.4, 3 * 32 * 24);
    assert_eq!(blue.4, 2 * 32 * 24);
    assert_eq!(red.0, blue.0, "rows start in one column");
    assert!(red.3 < blue.1, "the second row lies below the first");
    assert_eq!(red.2 - red.0 + 1, 3 * 32 + 2 * 2, "three frames and two thin gaps");
    assert!(red.0 >= Font::Body.width("truth"), "the label has room at the left");
}

#[test]
fn labels_and_numbers_are_written() {
    let rows = |label: &str| [(label.to_owned(), vec![Image::new(32, 32, RED); 2])];
    let (named, blank) = (strip(&rows("truth"), 1).unwrap(), strip(&rows("     "), 1).unwrap());
    assert_eq!((named.width, named.height), (blank.width, blank.height));
    assert_ne!(named, blank, "the label is seen");
    let top = extent(&blank, RED).1;
    let background = blank.pixel(0, 0);
    let numbered = (0..blank.width * top)
        .filter(|index| blank.pixel(index % blank.width, index / blank.width) != background);
    assert!(numbered.count() > 20, "frame numbers are seen above the frames");
}

#[test]
fn frames_of_another_size_are_named() {
    let mut frames = vec![Image::new(8, 8, RED); 3];
    frames[2] = Image::new(8, 9, RED);
    let error = strip(&[("model".to_owned(), frames)], 1).unwrap_err();
    assert!(error.to_string().contains("row `model`, frame 2"), "{error}");
    assert!(matches!(error, Error::FrameSize { expected: (8, 8), found: (8, 9), .. }));
}

#[test]
fn a_strip_without_frames_is_refused() {
    assert!(matches!(strip(&[], 1), Err(Error::NoFrames { .. })));
    assert!(matches!(strip(&[("empty".to_owned(), Vec::new())], 1), Err(Error::NoFrames { .. })));
}

#[test]
fn columns_hang_side_by_side_from_one_line() {
    let image = side_by_side(
        &[("a".to_owned(), Image::new(20, 10, RED)), ("b".to_owned(), Image::new(30, 40, BLUE))],
        2,
    );
    let (red, blue) = (extent(&image, RED), extent(&image, BLUE));
    assert_eq!((red.4, blue.4), (40 * 20, 60 * 80));
    assert_eq!(red.1, blue.1);
    assert!(red.2 < blue.0);
    assert!(red.1 >= Font::Body.height(), "labels have room above");
}

#[test]
fn a_label_wider_than_its_picture_widens_the_column() {
    let label = "a rather long label";
    let image = side_by_side(&[(label.to_owned(), Image::new(4, 4, RED))], 1);
    assert!(image.width >= Font::Body.width(label));
    assert_eq!(extent(&image, RED).4, 16);
    assert!(side_by_side(&[], 1).width > 0);
}
