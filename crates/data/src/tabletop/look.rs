//! Looks: colours and camera, which change pictures and nothing else.

use cola_random::stream;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::draw::{Shape, WHOLE};
use super::physics::CABINET;

/// Colours and camera of the pictures. States and actions do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// A light table from straight above.
    Plain,
    /// A dark table from straight above.
    Dark,
    /// Wooden planks from straight above.
    Wood,
    /// A light green table, the camera tilted: the sides of the blocks show.
    Tilted,
    /// Colours, pattern and camera drawn anew for each episode or reset.
    Random,
}

impl Look {
    /// All looks.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Dark, Self::Wood, Self::Tilted, Self::Random];
}

type Colour = [u8; 3];

/// Second colour of the table.
#[derive(Clone, Copy)]
enum Pattern {
    Flat,
    Planks,
    Checks,
}

/// Colours of everything.
pub(super) struct Palette {
    floor: Colour,
    table: [Colour; 2],
    pattern: Pattern,
    cabinet: Colour,
    inside: Colour,
    pub(super) door: Colour,
    pub(super) handle: Colour,
    /// Red, blue, yellow, green.
    pub(super) blocks: [Colour; 4],
    pub(super) palm: Colour,
    pub(super) fingers: Colour,
}

/// Where a place on the table is in the picture, in parts of its side: `offset + scale * place`.
#[derive(Clone, Copy)]
pub(super) struct Camera {
    scale: [f64; 2],
    offset: [f64; 2],
    /// How far up in the picture a thing of height 1 reaches.
    pub(super) lift: f64,
}

const ABOVE: Camera = Camera { scale: [0.96, 0.96], offset: [0.02, 0.02], lift: 0.0 };
const TILTED: Camera = Camera { scale: [0.94, 0.82], offset: [0.03, 0.13], lift: 0.06 };

/// A look made ready for pictures of one size.
pub(super) struct Scene {
    pub(super) palette: Palette,
    pub(super) camera: Camera,
    pub(super) size: usize,
    /// The picture without anything that moves.
    pub(super) background: Vec<u8>,
}

impl Scene {
    /// Only [`Look::Random`] depends on seed and index.
    pub(super) fn new(look: Look, size: usize, seed: u64, index: u64) -> Self {
        let (palette, camera) = match look {
            Look::Plain => (Palette::plain(), ABOVE),
            Look::Dark => (Palette::dark(), ABOVE),
            Look::Wood => (Palette::wood(), ABOVE),
            Look::Tilted => (Palette::green(), TILTED),
            Look::Random => drawn(&mut stream(seed, "tabletop look", 0, index)),
        };
        let background = palette.floor.repeat(size * size);
        let mut scene = Self { palette, camera, size, background };
        let mut background = std::mem::take(&mut scene.background);
        scene.paint_background(&mut background);
        scene.background = background;
        scene
    }

    /// A shape at a place on the table, `height` above it, in pixels of the picture.
    pub(super) fn shape(&self, centre: [f64; 2], half: [f64; 2], radius: f64, height: f64) -> Shape {
        let Camera { scale, offset, lift } = self.camera;
        let size = self.size as f64;
        let at = |axis: usize| (offset[axis] + scale[axis] * centre[axis]) * size;
        let half = [0, 1].map(|axis| (half[axis] * scale[axis] * size) as f32);
        let radius = ((radius * scale[0].min(scale[1]) * size) as f32).min(half[0]).min(half[1]);
        Shape { centre: [at(0) as f32, (at(1) - lift * height * size) as f32], half, radius }
    }

    fn paint_background(&self, rgb: &mut [u8]) {
        let Palette { table, pattern, cabinet, inside, .. } = &self.palette;
        let mut paint = |centre, half, radius, colour| {
            self.shape(centre, half, radius, 0.0).paint(rgb, self.size, colour, WHOLE);
        };
        paint([0.5; 2], [0.5; 2], 0.02, table[0]);
        match pattern {
            Pattern::Flat => {}
            Pattern::Planks => {
                for plank in [1.0, 3.0] {
                    paint([0.5, (plank + 0.5) / 5.0], [0.5, 0.1], 0.0, table[1]);
                }
            }
            Pattern::Checks => {
                for cell in (0..25).filter(|cell| cell % 2 == 1) {
                    let place = [cell % 5, cell / 5].map(|at| (f64::from(at) + 0.5) / 5.0);
                    paint(place, [0.1; 2], 0.0, table[1]);
                }
            }
        }
        paint([0.5, CABINET / 2.0], [0.5, CABINET / 2.0], 0.02, *cabinet);
        paint([0.5, 0.08], [0.44, 0.055], 0.01, *inside);
    }
}

impl Palette {
    fn plain() -> Self {
        Self {
            floor: [150, 152, 158],
            table: [[226, 224, 216]; 2],
            pattern: Pattern::Flat,
            cabinet: [122, 132, 150],
            inside: [248, 160, 60],
            door: [92, 100, 118],
            handle: [245, 245, 245],
            blocks: [[214, 52, 50], [44, 98, 214], [240, 196, 24], [40, 160, 84]],
            palm: [52, 54, 62],
            fingers: [18, 18, 24],
        }
    }

    fn dark() -> Self {
        Self {
            floor: [16, 17, 22],
            table: [[46, 50, 60]; 2],
            cabinet: [78, 84, 102],
            inside: [32, 200, 190],
            door: [108, 114, 134],
            handle: [236, 220, 170],
            blocks: [[236, 82, 76], [86, 140, 250], [246, 212, 70], [76, 200, 112]],
            palm: [206, 210, 218],
            fingers: [250, 250, 252],
            ..Self::plain()
        }
    }

    fn wood() -> Self {
        Self {
            floor: [70, 58, 52],
            table: [[196, 152, 104], [184, 138, 92]],
            pattern: Pattern::Planks,
            cabinet: [118, 80, 52],
            inside: [60, 210, 220],
            door: [146, 104, 70],
            handle: [246, 236, 210],
            blocks: [[198, 34, 44], [36, 70, 180], [250, 220, 60], [24, 124, 64]],
            palm: [60, 62, 70],
            fingers: [24, 24, 30],
        }
    }

    fn green() -> Self {
        Self {
            floor: [96, 104, 112],
            table: [[188, 206, 190]; 2],
            cabinet: [100, 118, 110],
            inside: [240, 110, 150],
            door: [70, 86, 80],
            ..Self::plain()
        }
    }
}

/// A look of its own. Blocks keep the colours that they are called by, lighter or darker.
fn drawn(rng: &mut impl Rng) -> (Palette, Camera) {
    let mut colour = |low: u8, high: u8| [(); 3].map(|()| rng.random_range(low..=high));
    let dark = colour(0, 1)[0] == 0;
    let (low, high) = if dark { (30, 90) } else { (160, 235) };
    let (table, floor, inside, cabinet) =
        (colour(low, high), colour(40, 120), colour(110, 255), colour(70, 150));
    let fingers = if dark { colour(225, 255) } else { colour(0, 40) };
    let shade = |colour: Colour, by: i16| colour.map(|value| (i16::from(value) + by).clamp(0, 255) as u8);
    let pattern = [Pattern::Flat, Pattern::Planks, Pattern::Checks][rng.random_range(0..3)];
    let base = if dark { Palette::dark() } else { Palette::plain() };
    let palette = Palette {
        floor,
        table: [table, shade(table, rng.random_range(-16..=16))],
        pattern,
        cabinet,
        inside,
        door: shade(cabinet, rng.random_range(-36..=-18)),
        handle: shade([238; 3], rng.random_range(-20..=17)),
        blocks: base.blocks.map(|block| shade(block, rng.random_range(-24..=24))),
        palm: shade(fingers, if dark { -40 } else { 40 }),
        fingers,
    };
    let wide = rng.random_range(0.86..=0.98);
    let tilt = rng.random_range(0.0..=1.0);
    let (high, lift) = (wide * (1.0 - 0.16 * tilt), 0.07 * tilt);
    // Above the table there is room for what stands on it: the raised gripper reaches up by 1.6.
    let above = 1.6 * lift;
    let offset = [
        rng.random_range(0.0..=1.0) * (1.0 - wide),
        above + rng.random_range(0.0..=1.0) * (1.0 - high - above),
    ];
    (palette, Camera { scale: [wide, high], offset, lift })
}
