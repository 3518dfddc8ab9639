//! Two folders of videos with the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cola_data::{Crop, Frames, Region, VideoFile, View, resize};

use crate::evaluate::pair::{Listing, Name, Pair, Pairs, starts, video};

const VIDEOS: [&str; 3] = ["mp4", "mov", "m4v"];
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];

/// Videos that two folders share by name: files, or folders of numbered pictures.
pub struct Folders {
    sources: BTreeMap<String, [Source; 2]>,
    listing: Listing,
    frames: usize,
    /// Height and width that both are brought to; their own without it.
    size: Option<(usize, usize)>,
}

/// A video that is not decoded yet.
enum Source {
    File(VideoFile),
    Pictures(Vec<PathBuf>),
}

impl Folders {
    /// Lists both folders and opens the tables of their videos; every video is cut into clips of `frames` frames.
    ///
    /// # Errors
    /// A folder that cannot be listed, or that has no video at all.
    pub fn open(real: &Path, generated: &Path, frames: usize, size: Option<(usize, usize)>) -> Result<Self> {
        let [real_videos, generated_videos] = [listed(real)?, listed(generated)?];
        let mut folders = Self { sources: BTreeMap::new(), listing: Listing::default(), frames, size };
        let all: BTreeSet<&String> = real_videos.keys().chain(generated_videos.keys()).collect();
        for name in all {
            let opened = match (real_videos.get(name), generated_videos.get(name)) {
                (Some(a), Some(b)) => Source::open(a).and_then(|a| Ok([a, Source::open(b)?])),
                (Some(_), None) => Err(anyhow::anyhow!("{} has no video of this name", generated.display())),
                _ => Err(anyhow::anyhow!("{} has no video of this name", real.display())),
            };
            match opened.and_then(|both| folders.cut(name, both)) {
                Ok(()) => {}
                Err(error) => folders.listing.broken.push((name.clone(), format!("{error:#}"))),
            }
        }
        Ok(folders)
    }

    fn cut(&mut self, name: &str, both: [Source; 2]) -> Result<()> {
        let [real, generated] = [both[0].frames(), both[1].frames()];
        if real != generated {
            bail!("{real} frames against {generated}; cut both to the same length");
        }
        if real < self.frames {
            bail!("{real} frames, clips of {} wanted; choose a smaller --frames", self.frames);
        }
        if let [Source::Pictures(a), Source::Pictures(b)] = &both {
            let numbers = |files: &[PathBuf]| files.iter().map(|file| number_of(file)).collect::<Vec<_>>();
            if numbers(a) != numbers(b) {
                bail!(
                    "the pictures have other numbers in one folder than in the other; they are compared in their order"
                );
            }
        }
        let place = self.sources.len();
        let clips = starts(real, self.frames).map(|start| Name { source: name.to_string(), start, place });
        self.listing.names.extend(clips);
        self.sources.insert(name.to_string(), both);
        Ok(())
    }
}

impl Pairs for Folders {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&mut self, index: usize) -> Result<Pair> {
        let name = &self.listing.names[index];
        let [real, generated] = &self.sources[&name.source];
        let read = |source: &Source| video(&source.read(name.start, self.frames, self.size)?);
        Ok(Pair { real: read(real)?, generated: read(generated)? })
    }
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self::File(VideoFile::open(path)?));
        }
        let mut pictures: Vec<PathBuf> =
            entries(path)?.into_iter().filter(|file| has_ending(file, &PICTURES)).collect();
        pictures.sort_by_key(|file| (number_of(file), file.clone()));
        if pictures.is_empty() {
            bail!("{}: no PNG or JPEG pictures in this folder", path.display());
        }
        Ok(Self::Pictures(pictures))
    }

    fn frames(&self) -> usize {
        match self {
            Self::File(video) => video.frames(),
            Self::Pictures(files) => files.len(),
        }
    }

    fn read(&self, start: usize, frames: usize, size: Option<(usize, usize)>) -> Result<Frames> {
        match self {
            Self::File(video) => {
                let (height, width) = size.unwrap_or((video.height(), video.width()));
                let view = View { region: Region::FULL, height, width };
                let mut read = Frames { count: 0, height, width, rgb: Vec::new() };
                video.read(start..start + frames, &view, frames, |_, frames| -> Result<()> {
                    read = frames;
                    Ok(())
                })?;
                Ok(read)
            }
            Self::Pictures(files) => {
                let mut all = Frames { count: 0, height: 0, width: 0, rgb: Vec::new() };
                for file in &files[start..start + frames] {
                    let frame = picture(file, size)?;
                    if all.count > 0 && (frame.height, frame.width) != (all.height, all.width) {
                        bail!(
                            "{}: {} x {} pixels, the pictures before it have {} x {}; give --size",
                            file.display(),
                            frame.width,
                            frame.height,
                            all.width,
                            all.height
                        );
                    }
                    (all.height, all.width) = (frame.height, frame.width);
                    all.count += 1;
                    all.rgb.extend(frame.rgb);
                }
                Ok(all)
            }
        }
    }
}

/// Videos of a folder by name: files without their ending, folders of pictures.
fn listed(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut videos = BTreeMap::new();
    for path in entries(folder)? {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else { continue };
        let is_video = match path.is_dir() {
            true => entries(&path)?.iter().any(|file| has_ending(file, &PICTURES)),
            false => has_ending(&path, &VIDEOS),
        };
        if is_video && let Some(other) = videos.insert(name, path.clone()) {
            bail!("{} and {}: two videos of one name; rename one", other.display(), path.display());
        }
    }
    if videos.is_empty() {
        bail!(
            "{}: no videos here; expected .mp4 or .mov files, or folders of numbered PNG or JPEG pictures",
            folder.display()
        );
    }
    Ok(videos)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = || format!("{}: cannot be listed", folder.display());
    let entries = std::fs::read_dir(folder).with_context(fail)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(fail)?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    Ok(paths)
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    file.extension().is_some_and(|end| endings.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// The last number in a file's name: `frame_10.png` comes after `frame_9.png`.
fn number_of(file: &Path) -> Option<u64> {
    let stem = file.file_stem()?.to_str()?;
    let digits = |letter: char| letter.is_ascii_digit();
    let end = stem.rfind(digits)? + 1;
    let start = stem[..end].rfind(|letter: char| !digits(letter)).map_or(0, |at| at + 1);
    stem.get(start..end)?.parse().ok()
}

fn picture(file: &Path, size: Option<(usize, usize)>) -> Result<Frames> {
    let refused = || format!("{}: expected a PNG or JPEG picture", file.display());
    let picture = image::open(file).with_context(refused)?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let frames = Frames { count: 1, height, width, rgb: picture.into_raw() };
    match size {
        Some((rows, columns)) if (rows, columns) != (height, width) => {
            Ok(resize(&frames, &Crop::full(height, width), rows, columns)?)
        }
        _ => Ok(frames),
    }
}
