//! Any picture of any codec, alone or among others, is the one that decoding from start to end gives.

use std::path::{Path, PathBuf};

use cola_data::{Error, Frames, VideoFile};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Name, frames, height, width.
const FILES: &[(&str, usize, usize, usize)] = &[
    ("b_frames.mp4", 24, 32, 48),
    ("variable_rate.mp4", 12, 38, 50),
    ("h264_pyramid.mp4", 40, 38, 54),
    ("h264_grey.mp4", 6, 32, 48),
    #[cfg(feature = "av1")]
    ("av1_hidden.mp4", 50, 33, 47),
    #[cfg(feature = "ffmpeg")]
    ("hevc_open.mp4", 30, 32, 48),
    #[cfg(feature = "ffmpeg")]
    ("vp9_hidden.webm", 30, 33, 47),
    #[cfg(feature = "ffmpeg")]
    ("h264_fragments.mp4", 20, 32, 48),
    #[cfg(feature = "ffmpeg")]
    ("mpeg4_packed.avi", 20, 32, 48),
];

fn path(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

fn read(video: &VideoFile, numbers: impl IntoIterator<Item = usize>) -> Frames {
    let mut found = Frames { count: 0, height: video.height(), width: video.width(), rgb: Vec::new() };
    let done = video.read(numbers, &video.full_view(), 7, |_, frames| {
        found.count += frames.count;
        found.rgb.extend(frames.rgb);
        Ok::<(), Error>(())
    });
    done.unwrap();
    found
}

#[test]
fn every_picture_alone_is_the_one_of_the_whole() {
    for &(name, frames, height, width) in FILES {
        let video = VideoFile::open(&path(name)).unwrap();
        assert_eq!((video.frames(), video.height(), video.width()), (frames, height, width), "{name}");
        assert!(video.times().is_sorted() && video.times()[0] == 0.0, "{name}: {:?}", video.times());
        let all = read(&video, 0..frames);
        assert_eq!(all.count, frames, "{name}");
        // Otherwise a wrong picture could pass for the right one.
        for frame in 1..frames {
            assert_ne!(all.frame(frame), all.frame(frame - 1), "{name}, frame {frame}");
        }
        // A child process for each picture takes its time.
        let step = if name.contains("264") || name.contains("av1") { 1 } else { 4 };
        for frame in (0..frames).step_by(step) {
            assert!(read(&video, [frame]).rgb == all.frame(frame), "{name}, frame {frame}");
        }
        let few = read(&video, (3..frames).step_by(5));
        for (place, frame) in (3..frames).step_by(5).enumerate() {
            assert!(few.frame(place) == all.frame(frame), "{name}, frame {frame} among others");
        }
    }
}

#[test]
fn pictures_do_not_depend_on_the_number_of_threads() {
    for &(name, frames, ..) in FILES {
        let video = VideoFile::open(&path(name)).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| read(&video, 0..frames))
        };
        assert!(with(1) == with(5), "{name}");
    }
}

/// Row, column and colour.
type Pixel = (usize, usize, [u8; 3]);

/// Bytes of `<name>` by `ffmpeg -i <name> -frames:v 1 -sws_flags accurate_rnd+neighbor+full_chroma_int -pix_fmt rgb24
/// -f rawvideo out.rgb`, from `(row * 48 + column) * 3` on.
const COLOURS: &[(&str, [Pixel; 3])] = &[
    #[cfg(feature = "av1")]
    ("av1_full_range.mp4", [(28, 44, [0, 68, 66]), (10, 40, [174, 147, 93]), (12, 20, [78, 59, 0])]),
    ("h264_full_range.mp4", [(28, 44, [0, 67, 69]), (10, 40, [170, 150, 85]), (12, 20, [84, 63, 0])]),
    ("h264_grey.mp4", [(28, 44, [49; 3]), (10, 40, [145; 3]), (12, 20, [66; 3])]),
];

#[test]
fn the_colours_that_the_stream_names_are_used() {
    for (name, colours) in COLOURS {
        let frame = read(&VideoFile::open(&path(name)).unwrap(), [0]);
        for (row, column, expected) in colours {
            let at = (row * 48 + column) * 3;
            let found = &frame.rgb[at..at + 3];
            let close = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(*expected) <= 2);
            assert!(close, "{name} ({row}, {column}): {found:?} against {expected:?}");
        }
    }
}

#[test]
fn pictures_without_colour_are_grey() {
    let video = VideoFile::open(&path("h264_grey.mp4")).unwrap();
    let frames = read(&video, 0..6);
    assert!(frames.rgb.as_chunks::<3>().0.iter().all(|[red, green, blue]| red == green && green == blue));
}
