//! Rounded rectangles on a picture, antialiased.

/// A rectangle with rounded corners, in pixels; a disc if `radius` is all of both halves.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) centre: [f32; 2],
    /// From the centre to the sides.
    pub(super) half: [f32; 2],
    pub(super) radius: f32,
}

/// Fixed-point one of coverages and opacities.
pub(super) const WHOLE: i32 = 256;

impl Shape {
    /// How much of the pixel with this centre is covered, up to 1: exact at a straight side, where the pixel is cut
    /// along one axis, and within a few percent at a corner.
    fn coverage(&self, x: f32, y: f32) -> f32 {
        let beyond = |axis: usize, at: f32| (at - self.centre[axis]).abs() - (self.half[axis] - self.radius);
        let (right, down) = (beyond(0, x), beyond(1, y));
        let outside =
            if right > 0.0 && down > 0.0 { (right * right + down * down).sqrt() } else { right.max(down) };
        (0.5 + self.radius - outside).clamp(0.0, 1.0)
    }

    /// Paints the shape on a picture of `size` x `size` pixels, `opacity` of [`WHOLE`]. What lies outside is left out.
    pub(super) fn paint(&self, rgb: &mut [u8], size: usize, colour: [u8; 3], opacity: i32) {
        let span = |axis: usize| {
            let (centre, half) = (self.centre[axis], self.half[axis] + 0.5);
            // `as` turns negative numbers into 0.
            let low = (centre - half).floor() as usize;
            low.min(size)..((centre + half).ceil() as usize).min(size)
        };
        let (columns, rows) = (span(0), span(1));
        if columns.is_empty() {
            return;
        }
        for row in rows {
            let y = row as f32 + 0.5;
            let line = &mut rgb[(row * size + columns.start) * 3..(row * size + columns.end) * 3];
            for (pixel, column) in line.chunks_exact_mut(3).zip(columns.clone()) {
                let part = (self.coverage(column as f32 + 0.5, y) * opacity as f32 + 0.5) as i32;
                for (value, colour) in pixel.iter_mut().zip(colour) {
                    let (from, to) = (i32::from(*value), i32::from(colour));
                    *value = (from + (((to - from) * part + WHOLE / 2) >> 8)) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of a shape's coverage, in pixels.
    fn mass(shape: Shape) -> f64 {
        let mut rgb = vec![0; 24 * 24 * 3];
        shape.paint(&mut rgb, 24, [255; 3], WHOLE);
        rgb.iter().map(|value| f64::from(*value)).sum::<f64>() / (3.0 * 255.0)
    }

    #[test]
    fn a_disc_covers_its_area_wherever_it_lies() {
        for step in 0..40 {
            let centre = [10.0 + 0.037 * step as f32, 11.0 + 0.11 * step as f32];
            for radius in [1.6, 2.5, 5.0] {
                // Taking a curved edge for a straight one adds a twelfth of a pixel or so, times pi.
                let area = std::f64::consts::PI * f64::from(radius * radius);
                let found = mass(Shape { centre, half: [radius; 2], radius });
                assert!((found / area - 1.0).abs() < 0.05, "{found} for {area}");
            }
        }
    }

    #[test]
    fn what_lies_outside_the_picture_is_left_out() {
        let shape = Shape { centre: [0.0, 24.0], half: [4.0; 2], radius: 0.0 };
        assert_eq!(mass(shape), 16.0);
        assert_eq!(mass(Shape { centre: [-9.0, 40.0], ..shape }), 0.0);
    }
}
