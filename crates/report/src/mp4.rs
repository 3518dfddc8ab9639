//! A clip for any player.

use std::path::Path;

use cola_mp4::{VideoOptions, VideoWriter};

use crate::{Error, Image};

/// Writes frames as an H.264 MP4 that shows `fps` of them a second, whole or not at all.
///
/// Every frame is kept, at one high quality whatever the clip: brightness comes back at about 47 dB. Color has half of
/// the picture's resolution (4:2:0), so [upscale](Image::upscale) small frames where single pixels matter. Each 16th
/// frame is a key frame to seek to, the index comes first, so that a browser plays the file while it loads, and the same
/// frames give the same bytes. Frames that are not all at hand go to a [`VideoWriter`] one by one.
///
/// H.264 needs even sides: the last column or row of an odd one is shown twice. Rates are exact to a part in 10⁹ if
/// near a fraction with a denominator up to 10,000, such as 30000/1001, else to 10⁻⁶ frames a second.
///
/// ```
/// use cola_report::{Image, save_mp4};
///
/// # let folder = tempfile::tempdir()?;
/// # let out = folder.path();
/// let mut frames = vec![Image::new(64, 48, [30, 60, 90]); 10];
/// for (time, frame) in frames.iter_mut().enumerate() {
///     frame.fill(4 * time, 16, 16, 16, [250, 180, 60]);
/// }
/// save_mp4(out.join("clip.mp4"), &frames, 5.0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// No frames, frames that differ in size, have a side below 16 pixels or exceed 3840 x 2160 (or 2160 x 3840), a rate that
/// is not from 0.01 to 1000, what the encoder refuses, a file of 4 GiB or more, a folder that is missing or full.
pub fn save_mp4(path: impl AsRef<Path>, frames: &[Image], fps: f64) -> Result<(), Error> {
    let path = path.as_ref();
    let (width, height) = Image::check_clip(frames, "an MP4", path)?;
    let mut video = VideoWriter::create(path, &VideoOptions::new(width, height, fps))?;
    frames.iter().try_for_each(|frame| video.push(&frame.rgb))?;
    Ok(video.finish()?)
}
