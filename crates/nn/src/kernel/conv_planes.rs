//! A convolution as sums over shifted, zero-padded planes, cut into tasks at places that depend on the shapes only.

use super::conv_tiles::{LANES, Piece, Products, ROWS, Taps, dispatch};
use super::for_each;

/// Output channels of one task.
const GROUP: usize = 4 * ROWS;
/// Few tasks are cut smaller, so that no thread waits long for the last.
const FEW_TASKS: usize = 16;
/// Positions that one task sums at a time: with [`X_CACHE`] they stay in the second cache.
const STRIP: usize = 1152;
/// Bytes of weights for one block of output channels that should stay in the first cache while the input of every tile
/// passes through it.
const WEIGHT_CACHE: usize = 8 << 10;
/// Bytes of input planes that should stay in the second cache.
const X_CACHE: usize = 320 << 10;
/// Between planes: zeros for the last tile to read, and some more. Where channels lay a third of a page apart, their rows
/// would meet in a few lines of the first cache.
const GAP: usize = 3 * LANES;
/// Output channels of one task of the weight's gradient.
const GRAD_GROUP: usize = 24;
/// Positions that are multiplied before sums leave the registers there: those of four planes stay in the first cache.
const GRAD_STRIP: usize = 2304;
/// Products that take as long as touching one element.
const PRODUCTS: usize = 64;

/// [`GAP`] behind a plane whose rows are so much longer than those of the sums.
pub(super) fn gap(longer: usize) -> usize {
    GAP + longer + 1
}

/// A frame of one channel, and the kernel that goes over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel_height: usize,
    pub(super) kernel_width: usize,
    /// Rows of zeros above and as many below, columns on the left and as many on the right.
    pub(super) pad: [usize; 2],
}

/// Where a frame of sums finds its input in padded planes.
#[derive(Clone, Debug)]
pub(super) struct Shifts {
    /// Sides of a frame of sums.
    pub(super) sides: [usize; 2],
    /// From one row to the next in a padded plane.
    pub(super) row: usize,
    /// From one padded plane to the next.
    pub(super) stride: usize,
    /// The shift of each tap.
    pub(super) taps: Vec<usize>,
}

impl Shifts {
    /// Positions from one row of a plane of sums to the next: between rows lies what no vector can leave out.
    fn line(&self) -> usize {
        let [_, width] = self.sides;
        if width.is_multiple_of(LANES) { width } else { self.row }
    }
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending<'a> {
    /// Added, by output channel.
    pub(super) bias: Option<&'a [f32]>,
    /// Negative sums become zero.
    pub(super) relu: bool,
}

/// A frame of the result that sees one of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Which of the kernel's layers joins them.
    pub(super) depth: usize,
    /// How far down and right in the padded frame the kernel starts.
    pub(super) shift: [usize; 2],
}

impl Plane {
    pub(super) fn sides(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel_height * self.kernel_width
    }

    /// A padded row.
    fn row(&self) -> usize {
        self.width + 2 * self.pad[1]
    }

    pub(super) fn shifts(&self) -> Shifts {
        Shifts { sides: self.sides(), row: self.row(), stride: self.stride(), taps: self.offsets() }
    }

    /// From one padded plane to the next.
    fn stride(&self) -> usize {
        (self.height + 2 * self.pad[0]) * self.row() + gap(2 * self.pad[1])
    }

    /// Where the first pixel lies in a padded plane.
    fn first(&self) -> usize {
        self.place(self.pad)
    }

    fn place(&self, [down, right]: [usize; 2]) -> usize {
        down * self.row() + right
    }

    /// For each of `frames` frames of the result where the frames that it sees start within a channel, with the kernel's
    /// layer for each.
    pub(super) fn seen(&self, pairs: &[Pair], frames: usize) -> Vec<Vec<(usize, usize)>> {
        let mut seen = vec![Vec::new(); frames];
        for pair in pairs {
            seen[pair.to].push((pair.from * self.stride() + self.place(pair.shift), pair.depth));
        }
        seen
    }

    /// For each of `frames` frames of the input the frames of the result that see it: the same with the kernel turned
    /// round, whose last tap then lies where the first one did.
    pub(super) fn seeing(&self, pairs: &[Pair], frames: usize) -> Vec<Vec<(usize, usize)>> {
        let last = [self.kernel_height - 1, self.kernel_width - 1];
        let mut seeing = vec![Vec::new(); frames];
        for pair in pairs {
            let shift = std::array::from_fn(|side| 2 * self.pad[side] - last[side] - pair.shift[side]);
            seeing[pair.from].push((pair.to * self.stride() + self.place(shift), pair.depth));
        }
        seeing
    }

    /// The shift of each tap.
    fn offsets(&self) -> Vec<usize> {
        let columns = 0..self.kernel_width;
        (0..self.kernel_height).flat_map(|y| columns.clone().map(move |x| y * self.row() + x)).collect()
    }

    /// Planes with zeros around them.
    pub(super) fn pad(&self, values: &[f32]) -> Vec<f32> {
        let (row, stride) = (self.row(), self.stride());
        let planes = values.chunks_exact(self.height * self.width);
        let mut padded = vec![0f32; planes.len() * stride];
        for_each(padded.len(), padded.chunks_exact_mut(stride).zip(planes), |(padded, plane)| {
            let rows = padded[self.first()..].chunks_mut(row);
            for (padded, values) in rows.zip(plane.chunks_exact(self.width)) {
                padded[..self.width].copy_from_slice(values);
            }
        });
        padded
    }
}

/// Weights as [`Taps`] wants them: `(out / ROWS, depth, in, tap, ROWS)`, zeros for channels that do not exist.
/// From `(out, in, depth, tap)`, or `turned` from `(in, out, depth, tap)` with the taps in reverse.
pub(super) fn pack(
    weight: &[f32],
    [out_dim, in_dim, depth]: [usize; 3],
    taps: usize,
    turned: bool,
) -> Vec<f32> {
    let block = depth * in_dim * taps * ROWS;
    let mut packed = vec![0f32; out_dim.div_ceil(ROWS) * block];
    for_each(packed.len(), packed.chunks_exact_mut(block).enumerate(), |(block, packed)| {
        // Channel by channel: the taps of one pair of channels lie together for all depths.
        for channel in 0..in_dim {
            for row in 0..ROWS.min(out_dim - block * ROWS) {
                let out = block * ROWS + row;
                let pair = if turned { channel * out_dim + out } else { out * in_dim + channel };
                let from = weight[pair * depth * taps..][..depth * taps].chunks_exact(taps);
                for (from, slab) in from.zip(packed.chunks_exact_mut(in_dim * taps * ROWS)) {
                    let (to, _) = slab[channel * taps * ROWS..][..taps * ROWS].as_chunks_mut::<ROWS>();
                    if turned {
                        to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| to[row] = *from);
                    } else {
                        to.iter_mut().zip(from).for_each(|(to, from)| to[row] = *from);
                    }
                }
            }
        }
    });
    packed
}

/// Sums over input channels and taps. `x` are padded planes `(batch, channels, frames)`; `seen` is [`Plane::seen`] or
/// [`Plane::seeing`]. Returns `(batch, out_dim, seen, H, W)`.
pub(super) fn correlate(
    shifts: &Shifts,
    (x, [batch, in_dim, frames]): (&[f32], [usize; 3]),
    (packed, depth): (&[f32], usize),
    (out_dim, seen): (usize, &[Vec<(usize, usize)>]),
    ending: Ending<'_>,
) -> Vec<f32> {
    let (taps, line, [height, pixels_wide]) = (shifts.taps.len(), shifts.line(), shifts.sides);
    let channel_stride = frames * shifts.stride;
    let strips = (height * line).div_ceil(STRIP);
    let strip_rows = height.div_ceil(strips);
    let strips = height.div_ceil(strip_rows);
    let width = (strip_rows * line).next_multiple_of(LANES);
    // Small frames are taken together, so that a block of weights is fetched once for all of them.
    let together = (STRIP / width).clamp(1, seen.len().max(1));
    let layers = seen.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let channels = (WEIGHT_CACHE / (layers * taps * ROWS * 4)).min(X_CACHE / (layers * width * 4)).max(1);
    let runs = seen.len().div_ceil(together);
    let few = batch * runs * strips * out_dim.div_ceil(GROUP) < FEW_TASKS;
    let share = if few { GROUP / 2 } else { GROUP };
    let groups = out_dim.div_ceil(share);

    let pixels = height * pixels_wide;
    let mut y = vec![0f32; batch * out_dim * seen.len() * pixels];
    // By channel, then by frame. Tasks that read the same strip of `x` follow each other: large planes come from memory once.
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    tasks.resize_with(batch * runs * strips * groups, Vec::new);
    for (index, to) in y.chunks_exact_mut(pixels).enumerate() {
        let (channel, frame) = (index / seen.len() % out_dim, index % seen.len());
        let run = index / (seen.len() * out_dim) * runs + frame / together;
        for (strip, to) in to.chunks_mut(strip_rows * pixels_wide).enumerate() {
            tasks[(run * strips + strip) * groups + channel / share].push(to);
        }
    }

    let work = batch * out_dim * seen.len() * pixels * in_dim * taps / PRODUCTS;
    for_each(work, tasks.into_iter().enumerate(), |(task, mut planes)| {
        let (group, strip, run) = (task % groups, task / groups % strips, task / groups / strips);
        let (sample, run) = (run / runs, run % runs);
        let seen = seen.chunks(together).nth(run).unwrap_or_default();
        let blocks = (planes.len() / seen.len()).div_ceil(ROWS);
        let first_row = strip * strip_rows;
        let width = (strip_rows.min(height - first_row) * line).next_multiple_of(LANES);
        let place = |channel: usize, frame: usize| {
            ((channel / ROWS * seen.len() + frame) * ROWS + channel % ROWS) * width
        };
        // `(block, frame, ROWS, width)`.
        let mut sums = vec![0f32; blocks * seen.len() * ROWS * width];
        for (channel, frame) in (0..blocks * ROWS).flat_map(|c| (0..seen.len()).map(move |f| (c, f))) {
            let bias = ending.bias.and_then(|bias| bias.get(group * share + channel)).copied().unwrap_or(0.0);
            sums[place(channel, frame)..][..width].fill(bias);
        }
        for first in (0..in_dim).step_by(channels) {
            let count = channels.min(in_dim - first);
            let start = (sample * in_dim + first) * channel_stride + first_row * shifts.row;
            for (index, sums) in sums.chunks_exact_mut(ROWS * width).enumerate() {
                let (block, frame) = (group * share / ROWS + index / seen.len(), index % seen.len());
                let slab = |depth_at: usize| {
                    let at = ((block * depth + depth_at) * in_dim + first) * taps * ROWS;
                    &packed[at..][..count * taps * ROWS]
                };
                let frames: Vec<_> =
                    seen[frame].iter().map(|&(place, depth)| (start + place, slab(depth))).collect();
                dispatch(Taps {
                    sums,
                    width,
                    x,
                    lines: [line, shifts.row],
                    frames: &frames,
                    stride: channel_stride,
                    offsets: &shifts.taps,
                });
            }
        }
        for (index, to) in planes.iter_mut().enumerate() {
            let sums = &sums[place(index / seen.len(), index % seen.len())..][..width];
            for (to, sums) in to.chunks_exact_mut(pixels_wide).zip(sums.chunks_exact(line)) {
                if ending.relu {
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = if *sum < 0.0 { 0.0 } else { *sum });
                } else {
                    to.copy_from_slice(&sums[..pixels_wide]);
                }
            }
        }
    });
    y
}

/// The weight's gradient `(out, in, depth, tap)`: sums over samples, frames and positions. `grad` and `x` are padded
/// planes `(batch, channels, frames)`.
pub(super) fn products(
    plane: &Plane,
    (grad, [batch, out_dim, grad_frames]): (&[f32], [usize; 3]),
    (x, [_, in_dim, x_frames]): (&[f32], [usize; 3]),
    (depth, pairs): (usize, &[Pair]),
) -> Vec<f32> {
    let (taps, stride) = (plane.taps(), plane.stride());
    let offsets = plane.offsets();
    let columns: Vec<usize> = (0..in_dim)
        .flat_map(|channel| offsets.iter().map(move |offset| channel * x_frames * stride + offset))
        .collect();
    let blocks: Vec<Vec<Vec<Piece>>> = (0..depth)
        .map(|own| {
            let pairs = pairs.iter().filter(|pair| pair.depth == own);
            let starts = pairs.flat_map(|pair| {
                (0..batch).map(move |sample| {
                    let grad = (sample * out_dim * grad_frames + pair.to) * stride + plane.first();
                    (grad, (sample * in_dim * x_frames + pair.from) * stride + plane.place(pair.shift))
                })
            });
            blocks(starts, plane.height * plane.row())
        })
        .collect();

    let groups = out_dim.div_ceil(GRAD_GROUP);
    let local = GRAD_GROUP * columns.len();
    let mut sums = vec![0f32; groups * depth * local];
    let work = batch * pairs.len() * plane.height * plane.width * out_dim * columns.len() / PRODUCTS;
    for_each(work, sums.chunks_exact_mut(local).enumerate(), |(task, sums)| {
        let (group, depth_at) = (task / depth, task % depth);
        let first = group * GRAD_GROUP;
        let rows: Vec<usize> =
            (first..out_dim.min(first + GRAD_GROUP)).map(|channel| channel * grad_frames * stride).collect();
        for pieces in &blocks[depth_at] {
            dispatch(Products { sums, grad, x, pieces, rows: &rows, columns: &columns });
        }
    });

    let mut result = vec![0f32; out_dim * in_dim * depth * taps];
    for_each(result.len(), result.chunks_exact_mut(in_dim * depth * taps).enumerate(), |(out, result)| {
        for (pair, result) in result.chunks_exact_mut(taps).enumerate() {
            let (channel, depth_at) = (pair / depth, pair % depth);
            let task = out / GRAD_GROUP * depth + depth_at;
            let at = task * local + out % GRAD_GROUP * columns.len() + channel * taps;
            result.copy_from_slice(&sums[at..][..taps]);
        }
    });
    result
}

/// Cuts planes into pieces and gathers pieces into blocks of about [`GRAD_STRIP`] positions.
fn blocks(starts: impl Iterator<Item = (usize, usize)>, positions: usize) -> Vec<Vec<Piece>> {
    let mut blocks: Vec<Vec<Piece>> = Vec::new();
    let mut held = GRAD_STRIP;
    for (grad, x) in starts {
        for at in (0..positions).step_by(GRAD_STRIP) {
            let length = GRAD_STRIP.min(positions - at);
            if held + length > GRAD_STRIP {
                blocks.push(Vec::new());
                held = 0;
            }
            held += length;
            let piece = Piece { grad: grad + at, x: x + at, blocks: length.div_ceil(LANES) };
            blocks.last_mut().into_iter().for_each(|block| block.push(piece));
        }
    }
    blocks
}
