//! Decoding in frames per second: H.264 to RGB bytes in the video's own size, one thread and all. Where the program `ffmpeg`
//! is installed it decodes the same file to the same bytes beside it, on one thread.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{Error, Result};
use cola_benches::{Amount, Ready, Suite};
use cola_data::VideoFile;

/// A shipped set and its video.
const VIDEOS: [(&str, &str); 2] = [
    ("robodesk_128", "robodesk_lerobot/videos/observation.images.camera/chunk-000/file-000.mp4"),
    ("pusht_128", "pusht_lerobot/videos/observation.image/chunk-000/file-000.mp4"),
];
/// Frames decoded at once, at most.
const FRAMES: usize = 1024;

fn main() -> Result<()> {
    let mut suite = Suite::new("decode")?;
    for place in suite.places().iter().filter(|place| place.device.is_cpu()) {
        for (name, video) in VIDEOS {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").join(video);
            let opened = VideoFile::open(&file).map_err(Error::wrap)?;
            let frames = opened.frames().min(FRAMES);
            let bytes = frames * opened.height() * opened.width() * 3;
            let amount = Amount { units: frames as f64, unit: "frames", flops: 0.0 };
            for threads in [1, rayon::current_num_threads()] {
                let pool =
                    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(Error::wrap)?;
                suite.time(place, name, &format!("threads_{threads}"), amount, || {
                    let video = VideoFile::open(&file).map_err(Error::wrap)?;
                    Ok(Ready::new(bytes, move || pool.install(|| decode(&video, frames))))
                });
            }
            if has_ffmpeg() {
                suite.time(place, name, "ffmpeg", amount, || {
                    let file = file.clone();
                    Ok(Ready::new(bytes, move || ffmpeg(&file, frames)))
                });
            }
        }
    }
    suite.finish();
    Ok(())
}

fn decode(video: &VideoFile, frames: usize) -> Result<()> {
    let mut seen = 0;
    let done = video.read(0..frames, &video.full_view(), 64, |_, frames| {
        seen += black_box(frames).count;
        Ok::<(), cola_data::Error>(())
    });
    done.map_err(Error::wrap)?;
    if seen == frames { Ok(()) } else { Err(Error::Msg(format!("{seen} of {frames} frames"))) }
}

fn has_ffmpeg() -> bool {
    let version = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// To nowhere, in one thread each for the decoder and the conversion.
fn ffmpeg(file: &PathBuf, frames: usize) -> Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-threads", "1", "-filter_threads", "1", "-i"]).arg(file);
    command.args([
        "-frames:v",
        &frames.to_string(),
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
        "-y",
        "/dev/null",
    ]);
    let status = command.status().map_err(Error::wrap)?;
    if status.success() { Ok(()) } else { Err(Error::Msg(format!("ffmpeg: {status}"))) }
}
