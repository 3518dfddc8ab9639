//! What one file says about its demos, before any picture or number is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdf5_pure::DType;
use serde_json::Value;

use crate::Error;
use crate::hdf5::{Archive, EXPANSION, Folder};

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
    Archive::with(path, |archive| match archive.folder("data")? {
        Some(data) => Ok(Attributes::read(&data)?.libero()),
        None => Ok(false),
    })
}

/// Attributes of `data`.
struct Attributes {
    problem: Option<String>,
    bddl: Option<String>,
    environment: Value,
}

impl Attributes {
    fn read(data: &Folder) -> Result<Self, Error> {
        let environment: Option<Value> =
            data.text("env_args")?.and_then(|text| serde_json::from_str(&text).ok());
        let environment = environment.unwrap_or_default();
        Ok(Self { problem: data.text("problem_info")?, bddl: data.text("bddl_file_name")?, environment })
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
            let Some(data) = archive.folder("data")? else {
                return Err(archive.field("groups", "no group `data`", "the layout of robomimic"));
            };
            let attributes = Attributes::read(&data)?;
            let number = |(name, group): (String, _)| {
                Some((name.strip_prefix("demo_")?.parse::<u64>().ok()?, name, group))
            };
            let mut found: Vec<_> = data.folders()?.into_iter().filter_map(number).collect();
            found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            if found.is_empty() {
                return Err(data.field("no demo", "groups demo_0, demo_1..."));
            }
            let mut claimed = 0u64;
            let mut demos = Vec::new();
            for (_, name, group) in found {
                let demo = demo(name, &group)?;
                let pictures = demo.cameras.values().map(|(height, width)| (height * width * 3) as u64);
                claimed = claimed.saturating_add(pictures.sum::<u64>().saturating_mul(demo.frames as u64));
                // Demos may share storage by hard links; all of them are decoded.
                if claimed > archive.length().saturating_mul(EXPANSION) {
                    let expected = format!("what {} bytes of a file can hold", archive.length());
                    return Err(group.field(format!("{claimed} bytes of pictures up to here"), expected));
                }
                demos.push(demo);
            }
            let mut masks = BTreeMap::new();
            if let Some(mask) = archive.folder("mask")? {
                for (split, array) in mask.arrays()? {
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
fn demo(name: String, group: &Folder) -> Result<Demo, Error> {
    let (mut cameras, mut frames) = (BTreeMap::new(), None);
    let found = group.folders()?.into_iter().find(|(name, _)| name == "obs");
    for (key, array) in found.map_or(Ok(Vec::new()), |(_, observations)| observations.arrays())? {
        let (&[count, height, width, 3], DType::U8) = (array.shape(), array.kind()) else { continue };
        array.check()?;
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
        return Err(group.field("no pictures", "a dataset obs/<camera> of u8, (T, H, W, 3)"));
    };
    let tables = group.arrays()?.into_iter().filter(|(name, _)| name == "actions" || name == "states");
    let longest = tables.map(|(_, array)| array.rows()).max().unwrap_or(0);
    if frames == 2 && longest > 2 {
        let found = format!("2 pictures for {longest} actions or states");
        let expected = "a picture for each: this is a file of start and goal pairs, not of episodes";
        return Err(group.field(found, expected));
    }
    Ok(Demo { name, frames, cameras })
}
