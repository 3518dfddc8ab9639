//! Bars: what they count, and that they are drawn where their numbers lie.

use cola_report::{Histogram, histograms};

const BAR: [u8; 3] = [0, 114, 178];

#[test]
fn each_number_is_counted_in_its_interval() {
    let values = [0.0, 0.1, 0.5, 0.99, 1.0, f64::NAN, f64::INFINITY];
    let histogram = Histogram::of("x", "", values.into_iter(), 4);
    assert_eq!(histogram.range, (0.0, 1.0));
    assert_eq!(histogram.counts, [2, 0, 1, 2], "the largest number belongs to the last interval");
}

#[test]
fn equal_numbers_and_none_at_all_have_a_range() {
    let equal = Histogram::of("x", "", [3.0; 5].into_iter(), 5);
    assert_eq!((equal.range, equal.counts.as_slice()), ((1.5, 4.5), &[0, 0, 5, 0, 0][..]));
    let none = Histogram::of("x", "", std::iter::empty(), 5);
    assert_eq!((none.range, none.counts.as_slice()), ((0.0, 1.0), &[0; 5][..]));
    let wide = Histogram::of("x", "", [-1e300, 1e300].into_iter(), 2);
    assert_eq!(wide.counts, [1, 1]);
}

#[test]
fn the_tallest_bar_stands_where_its_numbers_are() {
    let values = (0..100).map(|number| if number < 90 { 9.9 } else { 0.0 }).collect::<Vec<_>>();
    let page = histograms(&[Histogram::of("x", "", values.into_iter(), 10)], 1);
    let column = |x: usize| (0..page.height).filter(|&y| page.pixel(x, y) == BAR).count();
    let heights: Vec<usize> = (0..page.width).map(column).collect();
    let tallest = *heights.iter().max().expect("columns");
    let first = heights.iter().position(|height| *height == tallest).expect("a bar");
    assert!(first > page.width * 8 / 10, "{first} of {}", page.width);
    let other = heights.iter().copied().find(|height| *height > 0).expect("a bar");
    assert!((9 * other).abs_diff(tallest) <= 5, "{other}, {tallest}");
}

#[test]
fn panels_fill_rows() {
    let panel =
        Histogram::of("a title that is far too long for the room above its plot", "", [1.0].into_iter(), 3);
    let one = histograms(std::slice::from_ref(&panel), 4);
    let five = histograms(&vec![panel; 5], 4);
    assert_eq!((five.width, five.height), (4 * one.width, 2 * one.height));
    assert!(histograms(&[], 3).width > 0);
}
