//! Curves: what is drawn where, and that odd numbers draw something sensible.

use cola_report::{Image, Mark, Panel, Series, curves};

const BLUE: [u8; 3] = [0, 114, 178];
const VERMILION: [u8; 3] = [213, 94, 0];

fn line(points: impl IntoIterator<Item = (f64, f64)>) -> Series {
    Series::new("line", points.into_iter().collect())
}

fn page(panel: Panel) -> Image {
    curves(&[panel], 1, "step")
}

/// Where a color lies: `(x, y)` of each pixel of it.
fn pixels(image: &Image, color: [u8; 3]) -> Vec<(usize, usize)> {
    let all = (0..image.height).flat_map(|y| (0..image.width).map(move |x| (x, y)));
    all.filter(|(x, y)| image.pixel(*x, *y) == color).collect()
}

#[test]
fn a_rising_line_goes_from_the_bottom_left_to_the_top_right() {
    let image = page(Panel::new("t", "y").with(line((0..100).map(|x| (f64::from(x), f64::from(x))))));
    let blue = pixels(&image, BLUE);
    let (left, right) = (blue.iter().min().unwrap(), blue.iter().max().unwrap());
    assert!(right.0 - left.0 > image.width / 2, "{left:?} to {right:?}");
    assert!(left.1 > right.1 + image.height / 2, "{left:?} to {right:?}");
}

#[test]
fn equal_values_lie_in_the_middle_of_the_plot() {
    let image = page(
        Panel { y_range: Some((0.0, 8.0)), ..Panel::new("t", "y") }.with(line([(0.0, 4.0), (9.0, 4.0)])),
    );
    let fixed = pixels(&image, BLUE);
    let free = pixels(&page(Panel::new("t", "y").with(line([(0.0, 4.0), (9.0, 4.0)]))), BLUE);
    let rows =
        |pixels: &[(usize, usize)]| (pixels.iter().map(|at| at.1).min(), pixels.iter().map(|at| at.1).max());
    assert_eq!(rows(&fixed), rows(&free));
}

#[test]
fn a_number_that_is_not_finite_leaves_a_gap() {
    let points = |hole: bool| {
        line((0..40).map(move |x| (f64::from(x), if hole && (15..25).contains(&x) { f64::NAN } else { 1.0 })))
    };
    let columns = |series| {
        let mut columns: Vec<usize> =
            pixels(&page(Panel::new("t", "y").with(series)), BLUE).iter().map(|at| at.0).collect();
        columns.sort_unstable();
        columns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    };
    assert!(columns(points(false)) <= 1);
    assert!(columns(points(true)) > 100);
}

#[test]
fn odd_series_still_give_a_page_of_the_usual_size() {
    let usual = page(Panel::new("t", "y").with(line([(0.0, 0.0), (1.0, 1.0)])));
    let odd: [&[(f64, f64)]; 8] = [
        &[],
        &[(3.0, 2.0)],
        &[(f64::NAN, 1.0), (1.0, f64::INFINITY)],
        &[(0.0, 0.0), (1.0, 0.0)],
        &[(5.0, 1.0), (5.0, 2.0)],
        &[(0.0, -1e300), (1.0, 1e300)],
        &[(0.0, 1e-300), (1.0, 2e-300)],
        &[(0.0, -3.0), (1.0, -3.0 - 1e-15)],
    ];
    for points in odd {
        for log_y in [false, true] {
            let image = page(Panel { log_y, ..Panel::new("t", "y") }.with(line(points.iter().copied())));
            assert_eq!(image.height, usual.height, "{points:?}");
            assert!(image.width.abs_diff(usual.width) < 150, "{points:?}: {} wide", image.width);
        }
    }
    assert!(curves(&[], 3, "step").width > 0);
}

#[test]
fn a_single_point_is_a_dot() {
    let dot = pixels(&page(Panel::new("t", "y").with(line([(3.0, 2.0)]))), BLUE);
    assert!((12..60).contains(&dot.len()), "{} pixels", dot.len());
}

#[test]
fn on_a_logarithmic_axis_an_exponential_is_straight() {
    let series = line((0..=40).map(|x| (f64::from(x), 10f64.powf(-f64::from(x) / 10.0))));
    let blue = pixels(&page(Panel { log_y: true, ..Panel::new("t", "y") }.with(series)), BLUE);
    let (left, right) = (*blue.iter().min().unwrap(), *blue.iter().max().unwrap());
    for (x, y) in blue {
        let share = (x - left.0) as f64 / (right.0 - left.0) as f64;
        let expected = left.1 as f64 + share * (right.1 as f64 - left.1 as f64);
        assert!((y as f64 - expected).abs() < 4.0, "({x}, {y}), expected row {expected:.1}");
    }
}

#[test]
fn a_mark_is_a_dashed_line_over_the_whole_plot() {
    let panel = Panel::new("t", "y").with(line([(0.0, 0.0), (10.0, 0.0)]));
    let marked = Panel { marks: vec![Mark::new(5.0, ""), Mark::new(99.0, "beyond")], ..panel.clone() };
    let (plain, marked) = (page(panel), page(marked));
    let lower = marked.height - plain.height;
    let changed: Vec<(usize, usize)> = (0..plain.height)
        .flat_map(|y| (0..plain.width).map(move |x| (x, y)))
        .filter(|(x, y)| *y > 100 && plain.pixel(*x, *y) != marked.pixel(*x, *y + lower))
        .collect();
    let columns: Vec<usize> = changed.iter().map(|at| at.0).collect();
    assert!(columns.iter().max().unwrap() - columns.iter().min().unwrap() <= 4, "one line only");
    let rows: std::collections::BTreeSet<usize> = changed.iter().map(|at| at.1).collect();
    let (first, last) = (rows.first().unwrap(), rows.last().unwrap());
    assert!(last - first > 250, "from {first} to {last}");
    assert!(rows.len() < (last - first) * 8 / 10, "dashes leave gaps");
}

#[test]
fn a_mark_before_the_first_point_is_in_the_picture() {
    let panel = Panel::new("t", "y").with(line([(25.0, 0.0), (100.0, 0.0)]));
    let marked = Panel { marks: vec![Mark::new(0.0, "LAM")], ..panel.clone() };
    let left = |panel: Panel| pixels(&page(panel), BLUE).iter().map(|at| at.0).min().unwrap();
    assert!(left(marked) > left(panel) + 50, "the line begins a quarter into the plot");
}

#[test]
fn a_legend_appears_with_the_second_series_and_names_have_one_color() {
    let one = |name: &str, y: f64| Series::new(name, vec![(0.0, y), (9.0, y)]);
    let alone = Panel::new("t", "y").with(one("joint", 1.0));
    let both = alone.clone().with(one("separate", 2.0));
    let turned = Panel::new("t", "y").with(one("separate", 1.0)).with(one("joint", 2.0));
    assert!(page(both.clone()).height > page(alone.clone()).height);

    let image = curves(&[both, turned], 2, "step");
    let lower = |color, right: bool| {
        let half = pixels(&image, color).into_iter().filter(|at| (at.0 > image.width / 2) == right);
        half.map(|at| at.1).max().unwrap()
    };
    assert!(lower(BLUE, false) > lower(VERMILION, false), "joint is blue, and the lower one at the left");
    assert!(lower(BLUE, true) < lower(VERMILION, true), "and still blue where it comes second");
}

#[test]
fn many_points_are_drawn_faint_below_a_steady_average() {
    let noisy = |count: i32| line((0..count).map(|x| (f64::from(x), if x % 2 == 0 { 0.0 } else { 1.0 })));
    let spread = |series| {
        let rows = pixels(&page(Panel::new("t", "y").with(series)), BLUE).into_iter().map(|at| at.1);
        rows.clone().max().unwrap() - rows.min().unwrap()
    };
    assert!(spread(noisy(150)) > 250, "150 points are drawn as they are");
    assert!(spread(noisy(4000)) < 60, "the strong line of 4000 points is their average");
}

#[test]
fn an_average_does_not_reach_across_a_mark() {
    let series = || line((0..1000).map(|x| (f64::from(x), if x < 500 { 0.0 } else { 1.0 })));
    let between = |marks| {
        let image = page(Panel { marks, ..Panel::new("t", "y").with(series()) });
        let blue = pixels(&image, BLUE);
        let (top, bottom) =
            (blue.iter().map(|at| at.1).min().unwrap(), blue.iter().map(|at| at.1).max().unwrap());
        blue.iter().filter(|at| at.1 > top + 20 && at.1 + 20 < bottom).count()
    };
    assert!(between(Vec::new()) > 100, "the average passes through the middle");
    assert_eq!(between(vec![Mark::new(500.0, "")]), 0, "with a mark at the jump it does not");
}

#[test]
fn panels_fill_rows_of_columns() {
    let panel = Panel::new("t", "y").with(line([(0.0, 0.0), (1.0, 1.0)]));
    let one = page(panel.clone());
    let five = curves(&vec![panel; 5], 2, "step");
    assert_eq!((five.width, five.height), (2 * one.width, 3 * one.height));
}

#[test]
fn a_band_lies_faintly_behind_its_line() {
    let line = line([(0.0, 4.0), (9.0, 4.0)]).with_band(vec![(0.0, 2.0, 6.0), (9.0, 2.0, 6.0)]);
    let panel = Panel { y_range: Some((0.0, 8.0)), ..Panel::new("t", "y") };
    let image = page(panel.with(line));
    let blue = pixels(&image, BLUE);
    let x = image.width / 2;
    let middle = blue.iter().find(|at| at.0 == x).unwrap().1;
    // 18 of 100 parts blue on white.
    let faint = [209, 230, 241];
    let rows: Vec<usize> = pixels(&image, faint).iter().filter(|at| at.0 == x).map(|at| at.1).collect();
    assert!(rows.iter().any(|y| *y < middle) && rows.iter().any(|y| *y > middle), "{rows:?} around {middle}");
    assert!((160..180).contains(&rows.len()), "half of the plot: {}", rows.len());

    // Edges that cannot be shown, and out of order, draw something or nothing, but never fail.
    for band in
        [vec![(0.0, f64::NAN, 1.0), (9.0, 1.0, f64::INFINITY)], vec![(9.0, 9.0, -9.0), (0.0, -1e300, 1e300)]]
    {
        for log_y in [false, true] {
            let line = Series::new("line", vec![(0.0, 4.0), (9.0, 4.0)]).with_band(band.clone());
            page(Panel { log_y, ..Panel::new("t", "y") }.with(line));
        }
    }
}
