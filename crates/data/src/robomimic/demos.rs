//! What one file says about its demos, before any picture or number is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdf5_pure::DType;
use serde_json::Value;

use crate::Error;
use crate::hdf5::{Archive, EXPANSION};

/// Largest picture side and most bytes of a picture taken seriously.
const LARGEST_SIDE: usize = 16_384;
const LARGEST_PICTURE: usize = 64 << 20;

/// Most frames of a demo: a day and a half at 30 per second.
const LONGEST: usize = 1 << 22;

/// One group `data/demo_<number>`.
pub(super) struct Demo {
    /// `demo_3`.
    pub(super) name: String,
    /// Pictures of each camera.
    pub(super) frames: usize,
    /// Camera -> height and width.
    pub(super) cameras: BTreeMap<String, (usize, usize)>,
}

/// One file.
pub(super) struct Demos {
    pub(super) path: PathBuf,
    /// Whether the attributes are LIBERO's.
    pub(super) libero: bool,
    /// Frames per second.
    pub(super) rate: Option<f64>,
    /// What the robot is told.
    pub(super) text: Option<String>,
    /// In the order of their numbers.
    pub(super) demos: Vec<Demo>,
    /// Split -> names of demos.
    pub(super) masks: BTreeMap<String, Vec<String>>,
}

/// Whether a file is one of LIBERO's.
pub(super) fn is_libero(path: &Path) -> Result<bool, Error> {
    Archive::with(path, |archive| Ok(Attributes::read(archive)?.libero()))
}

/// Attributes of `data`.
struct Attributes {
    problem: Option<String>,
    bddl: Option<String>,
    environment: Value,
}

impl Attributes {
    fn read(archive: &Archive) -> Result<Self, Error> {
        let environment = archive.text("data", "env_args")?;
        let environment = environment.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let (problem, bddl) =
            (archive.text("data", "problem_info")?, archive.text("data", "bddl_file_name")?);
        Ok(Self { problem, bddl, environment })
    }

    fn libero(&self) -> bool {
        let name = self.environment.get("env_name").and_then(Value::as_str).unwrap_or_default();
        self.problem.is_some() || self.bddl.is_some() || name.to_ascii_lowercase().starts_with("libero")
    }

    fn rate(&self) -> Option<f64> {
        let rate = self.environment.get("env_kwargs")?.get("control_freq")?.as_f64()?;
        (rate > 0.0 && rate.is_finite()).then_some(rate)
    }

    /// The instruction: a text, or a list of texts that are its parts.
    fn instruction(&self) -> Option<String> {
        let problem: Value = serde_json::from_str(self.problem.as_ref()?).ok()?;
        let text = match problem.get("language_instruction")? {
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
            text => text.as_str()?.to_owned(),
        };
        Some(text).filter(|text| !text.trim().is_empty())
    }
}

impl Demos {
    /// Reads the metadata of `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        Archive::with(path, |archive| {
            let attributes = Attributes::read(archive)?;
            let number =
                |name: &String| Some((name.strip_prefix("demo_")?.parse::<u64>().ok()?, name.clone()));
            let mut names: Vec<_> = archive.groups("data")?.iter().filter_map(number).collect();
            names.sort();
            if names.is_empty() {
                return Err(archive.field("group `data`", "no demo", "groups demo_0, demo_1..."));
            }
            let mut claimed = 0u64;
            let mut demos = Vec::new();
            for (_, name) in names {
                let demo = demo(archive, name)?;
                let pictures = demo.cameras.values().map(|(height, width)| (height * width * 3) as u64);
                claimed = claimed.saturating_add(pictures.sum::<u64>().saturating_mul(demo.frames as u64));
                // Demos may share storage by hard links; all of them are decoded.
                if claimed > archive.length().saturating_mul(EXPANSION) {
                    let found = format!("{claimed} bytes of pictures up to {}", demo.name);
                    let expected = format!("what {} bytes of a file can hold", archive.length());
                    return Err(archive.field("group `data`", found, expected));
                }
                demos.push(demo);
            }
            let mut masks = BTreeMap::new();
            for split in archive.datasets("mask")? {
                if let Some(array) = archive.array(&format!("mask/{split}"))? {
                    masks.insert(split, array.texts()?);
                }
            }
            let (libero, rate, text) = (attributes.libero(), attributes.rate(), attributes.instruction());
            Ok(Self { path: path.to_owned(), libero, rate, text, demos, masks })
        })
    }

    /// A split that names a demo which is not there.
    pub(super) fn unknown(&self, split: &str, name: &str) -> Error {
        Error::Field {
            file: self.path.clone(),
            field: format!("`mask/{split}`"),
            found: format!("{name:?}"),
            expected: format!("one of the {} groups of `data`", self.demos.len()),
            mend: "correct the list, or copy the file again",
        }
    }
}

/// Shapes of one demo.
fn demo(archive: &Archive, name: String) -> Result<Demo, Error> {
    let observations = format!("data/{name}/obs");
    let mut cameras = BTreeMap::new();
    let mut frames: Option<usize> = None;
    for key in archive.datasets(&observations)? {
        let Some(array) = archive.array(&format!("{observations}/{key}"))? else { continue };
        let (&[count, height, width, 3], DType::U8) = (array.shape(), array.kind()) else { continue };
        let sides = 1..=LARGEST_SIDE;
        let legal =
            sides.contains(&height) && sides.contains(&width) && height * width * 3 <= LARGEST_PICTURE;
        if !legal || !(1..=LONGEST).contains(&count) {
            let expected = format!("1 to {LONGEST} pictures of at most {LARGEST_PICTURE} bytes");
            return Err(array.field(format!("{:?}", array.shape()), expected));
        }
        if let Some(frames) = frames.filter(|frames| *frames != count) {
            return Err(
                array.field(format!("{count} pictures"), format!("{frames}, as the cameras before it"))
            );
        }
        frames = Some(count);
        cameras.insert(key, (height, width));
    }
    let Some(frames) = frames else {
        return Err(archive.field(&observations, "no pictures", "a dataset (T, H, W, 3) of u8"));
    };
    let rows =
        |name: &str| -> Result<usize, Error> { Ok(archive.array(name)?.map_or(0, |array| array.rows())) };
    let longest = rows(&format!("data/{name}/actions"))?.max(rows(&format!("data/{name}/states"))?);
    if frames == 2 && longest > 2 {
        let found = format!("2 pictures for {longest} actions or states");
        let expected = "a picture for each: this is a file of start and goal pairs, not of episodes";
        return Err(archive.field(&observations, found, expected));
    }
    Ok(Demo { name, frames, cameras })
}
