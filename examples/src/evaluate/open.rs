//! The pairs that a command line means.

use anyhow::{Result, bail};
use candle_core::Device;
use cola_data::{OpenOptions, Region};

use crate::evaluate::args::EvaluateArgs;
use crate::evaluate::episodes::{Datasets, Episodes, Look, Sides};
use crate::evaluate::folders::Folders;
use crate::evaluate::pair::Pairs;
use crate::evaluate::rollouts::{Continue, Rollouts, Told, checkpoint};
use crate::rollout::origin::Origin;
use crate::sources::{generator, robodesk, same_folder};

/// Clips that a checkpoint continues at once.
const BATCH: usize = 20;

/// Pairs and where either side comes from, in words.
pub struct Opened {
    /// The clips.
    pub pairs: Box<dyn Pairs>,
    /// The real ones.
    pub real: String,
    /// The generated ones.
    pub generated: String,
}

impl Opened {
    /// Opens what the arguments name; hardly anything is decoded yet.
    ///
    /// # Errors
    /// Paths that are neither folders of videos nor datasets, or one of each; a checkpoint that is none.
    pub fn of(args: &EvaluateArgs, device: &Device) -> Result<Self> {
        let given = args.real.clone();
        let real = given.clone().unwrap_or_else(robodesk);
        if args.generated.is_some() && (args.actions.is_some() || args.guidance.is_some()) {
            bail!("--actions, --guidance: belong to the rollouts of a --checkpoint; leave them out");
        }
        if args.generated.is_none() && args.size.is_some() {
            bail!("--size: a checkpoint has its own size; leave it out");
        }
        let Some(generated) = &args.generated else {
            if given.is_some() && args.checkpoint.is_none() {
                bail!(
                    "{}: compare it with what? Name GENERATED behind it, or a --checkpoint",
                    real.display()
                );
            }
            return Self::rollouts(args, device);
        };
        for folder in [&real, generated] {
            if !folder.is_dir() {
                bail!(
                    "{}: no such folder; expected a folder of videos or a LeRobot dataset",
                    folder.display()
                );
            }
        }
        let pairs: Box<dyn Pairs> = match [&real, generated].map(|folder| EvaluateArgs::is_dataset(folder)) {
            [true, true] => {
                let open = |folder| {
                    Episodes::open(
                        cola_data::open(folder, &OpenOptions::default())?,
                        args.split(),
                        look(args, Region::FULL),
                    )
                };
                Box::new(Datasets::new(open(&real)?, open(generated)?)?)
            }
            [false, false] if args.split.is_some() || args.camera.is_some() => {
                bail!("--split, --camera: folders of videos have none; leave them out")
            }
            [false, false] => Box::new(Folders::open(&real, generated, args.frames, args.size)?),
            _ => bail!(
                "{} and {}: one is a LeRobot dataset (meta/info.json), the other is not; compare two of a kind",
                real.display(),
                generated.display()
            ),
        };
        Ok(Self { pairs, real: real.display().to_string(), generated: generated.display().to_string() })
    }

    fn rollouts(args: &EvaluateArgs, device: &Device) -> Result<Self> {
        let folder = checkpoint(&args.checkpoint.clone().unwrap_or_else(generator))?;
        let origin = Origin::run(folder, None)?;
        let trained = origin.usual.clip_options();
        let (data, region) = match &args.real {
            // The cut-out belongs to the pictures it was chosen for.
            Some(data) if !same_folder(data, &robodesk()) => (data.clone(), Region::FULL),
            _ => (robodesk(), trained.region),
        };
        let look =
            Look { sides: Sides::AtMost(trained.store), stride: trained.frame_stride, ..look(args, region) };
        let told = args.actions.unwrap_or(match origin.actions() {
            Some(space) if space.codebook.is_some() => Told::Own,
            _ => Told::Nothing,
        });
        let how = Continue {
            given: args.given,
            told,
            guidance: args.guidance,
            seed: args.seed,
            batch: BATCH,
            most: args.clips.unwrap_or(usize::MAX),
        };
        if how.given == 0 {
            bail!("--given 0: a model continues at least one frame");
        }
        let episodes = Episodes::open(cola_data::open(&data, &OpenOptions::default())?, args.split(), look)?;
        let rollouts = Rollouts::new(episodes, origin, how, device)?;
        let real = format!("{}, split {}", data.display(), args.split());
        Ok(Self { generated: rollouts.describe(), pairs: Box::new(rollouts), real })
    }
}

fn look(args: &EvaluateArgs, region: Region) -> Look {
    let sides = args.size.map_or(Sides::Own, |(height, width)| Sides::Exactly(height, width));
    Look { camera: args.camera.clone(), region, sides, frames: args.frames, stride: 1 }
}
