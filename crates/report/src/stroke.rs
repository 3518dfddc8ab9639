//! Lines with soft edges.

use crate::{Color, Image};

/// A point on a picture, pixels; whole numbers are the corners between pixels.
pub(crate) type Point = (f64, f64);

/// A part of a picture, pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// How much of each pixel of an area a pen has covered.
///
/// A line is collected here whole and mixed into the picture once, so that a faint one is not darker where its
/// pieces overlap.
pub(crate) struct Stroke {
    area: Area,
    shares: Vec<f32>,
}

impl Stroke {
    /// A pen that has not touched its area; it never leaves it.
    pub(crate) fn within(area: Area) -> Self {
        Self { area, shares: vec![0.0; area.width * area.height] }
    }

    /// A line through the points, `width` pixels wide with round ends; one point gives a dot.
    pub(crate) fn line(&mut self, points: &[Point], width: f64) {
        if let [only] = points {
            self.segment(*only, *only, width);
        }
        for pair in points.windows(2) {
            self.segment(pair[0], pair[1], width);
        }
    }

    /// As [`Stroke::line`], `on` pixels drawn and `off` left out by turns, measured along the line.
    pub(crate) fn dashes(&mut self, points: &[Point], width: f64, on: f64, off: f64) {
        let (mut drawing, mut left) = (true, on);
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            loop {
                let length = (to.0 - from.0).hypot(to.1 - from.1);
                let share = if length > left { left / length } else { 1.0 };
                let until = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
                if drawing {
                    self.segment(from, until, width);
                }
                if length <= left {
                    left -= length;
                    break;
                }
                from = until;
                drawing = !drawing;
                left = if drawing { on } else { off };
            }
        }
    }

    /// Mixes what is covered into the picture; `opacity` 1 hides what lies below.
    pub(crate) fn paint(&self, image: &mut Image, color: Color, opacity: f32) {
        for (index, share) in self.shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let (x, y) = (index % self.area.width, index / self.area.width);
            image.blend(self.area.left + x, self.area.top + y, color, share * opacity);
        }
    }

    fn segment(&mut self, from: Point, to: Point, width: f64) {
        // A pixel at this distance from the line's middle is just not touched.
        let reach = width / 2.0 + 0.5;
        let (left, top) = (self.area.left as f64, self.area.top as f64);
        let (from, to) = ((from.0 - left, from.1 - top), (to.0 - left, to.1 - top));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let square = dx * dx + dy * dy;

        // Casts from float saturate, so that what lies beyond the area becomes its edge.
        let columns = (from.0.min(to.0) - reach).floor() as usize
            ..((from.0.max(to.0) + reach).ceil() as usize).min(self.area.width);
        let rows = (from.1.min(to.1) - reach).floor() as usize
            ..((from.1.max(to.1) + reach).ceil() as usize).min(self.area.height);
        for y in rows {
            for x in columns.clone() {
                let (px, py) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
                let along = if square > 0.0 { ((px * dx + py * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
                let distance = (px - along * dx).hypot(py - along * dy);
                let share = (reach - distance).clamp(0.0, 1.0) as f32;
                let covered = &mut self.shares[y * self.area.width + x];
                *covered = covered.max(share);
            }
        }
    }
}
