//! A state as a picture.

use super::draw::WHOLE;
use super::look::{Palette, Scene};
use super::physics::{BLOCK, HANDLE, RAIL, handle};
use super::{Held, TabletopState};

/// Opacity of shadows.
const SHADOW: i32 = WHOLE * 3 / 10;
/// Right end of the door; what lies beyond is behind the cabinet's wall.
const DOOR_END: f64 = 0.94;

impl Scene {
    /// Draws `state` over the background; `rgb` has the background's length.
    pub(super) fn paint(&self, state: &TabletopState, rgb: &mut [u8]) {
        rgb.copy_from_slice(&self.background);
        self.slider(state, rgb);

        // The far ones first: with a tilted camera the near ones stand before them.
        let mut order = [0, 1, 2, 3];
        let order = &mut order[..state.blocks.len().min(4)];
        order.sort_by(|a, b| state.blocks[*a][1].total_cmp(&state.blocks[*b][1]));
        for block in order {
            self.block(state.blocks[*block], self.palette.blocks[*block], rgb);
        }
        self.gripper(state, rgb);
    }

    fn slider(&self, state: &TabletopState, rgb: &mut [u8]) {
        let [x, y] = handle(state.slider);
        let (left, half) = (x - 0.07, [(DOOR_END - x + 0.07) / 2.0, 0.055]);
        self.shape([left + half[0], RAIL], half, 0.0, 0.0).paint(rgb, self.size, self.palette.door, WHOLE);
        self.shadow([x, y], [HANDLE.half(); 2], HANDLE.radius, 0.012, rgb);
        self.shape([x, y], [HANDLE.half(); 2], HANDLE.radius, 0.4).paint(
            rgb,
            self.size,
            self.palette.handle,
            WHOLE,
        );
    }

    fn block(&self, at: [f64; 2], colour: [u8; 3], rgb: &mut [u8]) {
        let darker = colour.map(|value| (u16::from(value) * 5 / 8) as u8);
        let half = [BLOCK.half(); 2];
        self.shadow(at, half, BLOCK.radius, 0.016, rgb);
        // From its foot to its top in one piece, and the top on it, smaller by a rim.
        let mut side = self.shape(at, half, BLOCK.radius, 0.5);
        side.half[1] += (self.camera.lift * 0.5 * self.size as f64) as f32;
        side.paint(rgb, self.size, darker, WHOLE);
        self.shape(at, half.map(|half| half - 0.012), BLOCK.radius, 1.0).paint(rgb, self.size, colour, WHOLE);
    }

    /// Higher is larger, and further from its shadow.
    fn gripper(&self, state: &TabletopState, rgb: &mut [u8]) {
        let height = 1.0 - state.grip;
        let at = state.gripper;
        let large = 1.0 + 0.3 * height;
        let apart = match state.held {
            Some(Held::Block(_)) => BLOCK.half() + 0.01,
            Some(Held::Slider) => HANDLE.half() + 0.01,
            None => 0.03 + 0.065 * height,
        };
        let palm = 0.032 * large;
        let finger = [0.02 * large, 0.045 * large];
        let bar = [apart, 0.014 * large];
        let fingers = [-apart, apart].map(|side| [at[0] + side, at[1]]);
        for place in fingers {
            self.shadow(place, finger, 0.012, 0.012 + 0.04 * height, rgb);
        }
        let above = 0.8 + 0.8 * height;
        let Palette { palm: grey, fingers: edge, .. } = &self.palette;
        let mut paint = |place, half, radius, colour| {
            self.shape(place, half, radius, above).paint(rgb, self.size, colour, WHOLE);
        };
        paint(at, bar, 0.0, *grey);
        paint(at, [palm; 2], palm, *grey);
        for place in fingers {
            paint(place, finger, 0.012, *edge);
        }
    }

    /// Light comes from the far left.
    fn shadow(&self, at: [f64; 2], half: [f64; 2], radius: f64, reach: f64, rgb: &mut [u8]) {
        let place = [at[0] + reach, at[1] + reach];
        self.shape(place, half, radius, 0.0).paint(rgb, self.size, [0; 3], SHADOW);
    }
}
