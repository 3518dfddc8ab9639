//! Pictures of one demo, window after window.

use super::demos::{Demo, Demos};
use crate::hdf5::Archive;
use crate::{Error, Frames, View, resize};

/// Bytes of full pictures that are read at once, one picture at least.
const WINDOW: usize = 32 << 20;

/// Reads the pictures `frames` (ascending) of a camera, cut and resized.
pub(super) fn read(
    file: &Demos,
    demo: &Demo,
    camera: &str,
    frames: &[usize],
    view: &View,
    upside_down: bool,
) -> Result<Frames, Error> {
    let &View { region, height, width } = view;
    Archive::with(&file.path, |archive| {
        let path = format!("data/{}/obs/{camera}", demo.name);
        let expected = demo.cameras.get(camera).map(|&(tall, wide)| [demo.frames, tall, wide, 3]);
        let array =
            archive.array(&path)?.filter(|array| expected.is_some_and(|shape| array.shape() == shape));
        let (Some(array), Some([_, tall, wide, _])) = (array, expected) else {
            return Err(archive.field(
                &format!("`{path}`"),
                "another dataset",
                "the one that was there before",
            ));
        };
        array.check_chunks()?;
        let crop = region.pixels(tall, wide)?;
        let (line, picture) = (wide * 3, tall * wide * 3);
        let mut rgb = Vec::with_capacity(frames.len() * height * width * 3);
        let most = (WINDOW / picture).max(1);
        let mut rest = frames;
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(frame, next)| *frame == next).count().min(most);
            let mut pixels = array.window(first, run)?;
            if upside_down {
                for picture in pixels.chunks_exact_mut(picture) {
                    turn(picture, line);
                }
            }
            let full = Frames { count: run, height: tall, width: wide, rgb: pixels };
            rgb.extend_from_slice(&resize(&full, &crop, height, width)?.rgb);
            rest = &rest[run..];
        }
        Ok(Frames { count: frames.len(), height, width, rgb })
    })
}

/// Puts the last row first.
fn turn(picture: &mut [u8], line: usize) {
    let mut lines: Vec<&mut [u8]> = picture.chunks_exact_mut(line).collect();
    let half = lines.len() / 2;
    let (above, below) = lines.split_at_mut(half);
    for (above, below) in above.iter_mut().zip(below.iter_mut().rev()) {
        above.swap_with_slice(below);
    }
}
