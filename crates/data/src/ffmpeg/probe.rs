//! What `ffprobe` says about a video: its size, and when its pictures are shown.

use std::ffi::OsString;
use std::path::Path;

use super::child::{Child, Chunks, input};
use crate::Error;

const MEND: &str = "the file is damaged, or it is no video: look at it with `ffprobe -show_packets`";

/// More pictures than six days at 30 a second have.
const MOST_PICTURES: usize = 1 << 24;

/// Where the pictures' times come from.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    /// The container: nothing is decoded.
    Packets,
    /// The decoder, for containers that store no times of presentation (AVI): slow.
    Frames,
}

/// A file's first video stream.
pub(super) struct Probe {
    /// Height and width, pixels.
    pub(super) size: (usize, usize),
    /// In decoding order: time in seconds on the file's own clock, and whether decoding can start there.
    pub(super) pictures: Vec<(f64, bool)>,
}

impl Probe {
    pub(super) fn run(file: &Path) -> Result<Self, Error> {
        match Self::read(file, Times::Packets)? {
            Some(probe) => Ok(probe),
            None => {
                let field = || error(file, "times", "none", "a time for each picture");
                let mut probe = Self::read(file, Times::Frames)?.ok_or_else(field)?;
                // Where packets have no times, the program cannot find a picture by its time either.
                probe.pictures.iter_mut().skip(1).for_each(|(_, key)| *key = false);
                Ok(probe)
            }
        }
    }

    /// The stream and its times; `None` if a picture has none, or two have the same.
    fn read(file: &Path, times: Times) -> Result<Option<Self>, Error> {
        let wanted = match times {
            Times::Packets => "stream=width,height,time_base:packet=pts,flags",
            Times::Frames => "stream=width,height,time_base:frame=best_effort_timestamp,key_frame",
        };
        let arguments = [
            "-v",
            "error",
            "-protocol_whitelist",
            "file",
            "-select_streams",
            "v:0",
            "-of",
            "compact",
            "-show_entries",
            wanted,
        ];
        let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
        arguments.push(input(file));
        let mut child = Child::start(file, "ffprobe", &arguments, Chunks::Lines)?;
        let mut ticks: Vec<(i64, bool)> = Vec::new();
        let mut stream = None;
        let mut timed = true;
        while let Some(line) = child.next()? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let value = |name: &str| {
                let mut fields = line.split('|').filter_map(|field| field.split_once('='));
                fields.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
            };
            match line.split('|').next() {
                // Packets that an edit list hides are decoded but never shown.
                Some("packet") if value("flags").is_some_and(|flags| flags.contains('D')) => {}
                Some("packet" | "frame") => {
                    let tick =
                        value("pts").or(value("best_effort_timestamp")).and_then(|tick| tick.parse().ok());
                    // The decoder gives its last pictures no time; they follow at the same pace.
                    let follows = || match (times, ticks.as_slice()) {
                        (Times::Frames, [.., (before, _), (last, _)]) => Some(last + (last - before)),
                        _ => None,
                    };
                    let Some(tick) = tick.or_else(follows) else {
                        timed = false;
                        continue;
                    };
                    let key = value("flags").is_some_and(|flags| flags.starts_with('K'))
                        || value("key_frame").as_deref() == Some("1");
                    ticks.push((tick, key));
                    if ticks.len() > MOST_PICTURES {
                        let found = format!("more than {MOST_PICTURES}");
                        return Err(error(file, "pictures", found, "a video of less than six days"));
                    }
                }
                Some("stream") => {
                    let number = |name: &str| value(name)?.parse().ok();
                    let base = value("time_base").and_then(|base| seconds(&base));
                    stream = number("height").zip(number("width")).zip(base);
                }
                _ => {}
            }
        }
        let Some((size, base)) = stream else {
            return Err(error(file, "streams", "no video", "one with height, width and time base"));
        };
        if ticks.is_empty() && timed {
            return Err(error(file, "pictures", "none", "at least one"));
        }
        let mut order: Vec<i64> = ticks.iter().map(|(tick, _)| *tick).collect();
        order.sort_unstable();
        if !timed || order.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(None);
        }
        let pictures = ticks.into_iter().map(|(tick, key)| (tick as f64 * base, key)).collect();
        Ok(Some(Self { size, pictures }))
    }
}

/// Seconds of a tick, from `1/12800`.
fn seconds(base: &str) -> Option<f64> {
    let (above, below) = base.split_once('/')?;
    let seconds = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

fn error(file: &Path, field: &str, found: impl ToString, expected: &str) -> Error {
    let (file, field) = (file.to_owned(), format!("{field} that ffprobe found"));
    Error::Field { file, field, found: found.to_string(), expected: expected.to_owned(), mend: MEND }
}
