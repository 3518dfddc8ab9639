//! A dataset's clips and what a checkpoint makes of their first frames.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use candle_core::{Device, Tensor};
use clap::ValueEnum;
use cola_data::{Batch, Clip, collate};
use cola_dit_world::RolloutConfig;
use cola_flow::SamplerConfig;
use cola_metrics::Video;
use cola_weights::Hub;

use crate::args::checkpoint_at;
use crate::evaluate::episodes::Episodes;
use crate::evaluate::pair::{Listing, Pair, Pairs};
use crate::rollout::model::Model;
use crate::rollout::origin::Origin;

/// Where the latent actions of a rollout come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Told {
    /// The clip's own, inferred from its future frames (the paper's GT-LAM): reconstruction, not forecasting.
    Own,
    /// Those of another clip of the split: what a model scores that does not listen.
    Other,
    /// None: the model runs free.
    Nothing,
}

/// The checkpoint folder that a user means: a checkpoint, a run, or a generator without actions.
///
/// # Errors
/// None of them.
pub fn checkpoint(path: &Path) -> Result<PathBuf> {
    if path.join("backbone.safetensors").is_file() {
        return Ok(path.to_path_buf());
    }
    checkpoint_at(path)
}

/// How clips are continued.
#[derive(Clone, Copy, Debug)]
pub struct Continue {
    /// Frames that the model is shown.
    pub given: usize,
    /// What it is told.
    pub told: Told,
    /// Guidance towards the actions; the run's own without it.
    pub guidance: Option<f64>,
    /// Seeds the noise.
    pub seed: u64,
    /// Clips continued at once.
    pub batch: usize,
    /// Clips that are wanted, from the first.
    pub most: usize,
}

/// Clips of a split, each beside its rollout.
pub struct Rollouts {
    episodes: Episodes,
    listing: Listing,
    origin: Origin,
    model: Model,
    how: Continue,
    config: RolloutConfig,
    device: Device,
    /// Pairs that were made with the last one.
    ready: BTreeMap<usize, Result<Pair>>,
}

impl Rollouts {
    /// Loads the model.
    ///
    /// # Errors
    /// Files that are missing or damaged; actions asked of a model that knows none.
    pub fn new(episodes: Episodes, origin: Origin, how: Continue, device: &Device) -> Result<Self> {
        let model = Model::open(&origin, how.seed, &Hub::from_env(), device)?;
        if how.told != Told::Nothing && model.lam.is_none() {
            bail!(
                "--actions: this checkpoint has no latent action model ({origin}); give --actions nothing, or a \
                 checkpoint of the program coevolve"
            );
        }
        let usual = &origin.usual;
        let guidance = match how.told {
            Told::Nothing => 1.0,
            _ => how.guidance.unwrap_or(usual.evaluation.guidance),
        };
        let config = RolloutConfig { seed: how.seed, ..usual.rollout(guidance) };
        let mut listing = episodes.listing();
        listing.names.truncate(how.most);
        if how.told == Told::Other && listing.names.len() < 2 {
            bail!(
                "--actions other: takes the actions of another clip, and there is no other; give more clips"
            );
        }
        if how.told == Told::Nothing && how.guidance.is_some() {
            bail!(
                "--guidance: there are no actions to be guided towards; leave it out, or give --actions own"
            );
        }
        let device = device.clone();
        Ok(Self { episodes, listing, origin, model, how, config, device, ready: BTreeMap::new() })
    }

    /// What the model is told, in words, for the report.
    pub fn describe(&self) -> String {
        let told = match self.how.told {
            Told::Own => "the clip's own actions",
            Told::Other => "another clip's actions",
            Told::Nothing => "no actions",
        };
        let SamplerConfig { steps, guidance } = self.config.sampler;
        format!("{}, {told}, {steps} steps, guidance {guidance}, seed {}", self.origin, self.how.seed)
    }

    fn clip(&self, index: usize) -> Result<Clip> {
        let name = &self.listing.names[index];
        let frames = self.episodes.read(name.place, name.start)?;
        Ok(Clip { frames, actions: Vec::new(), action_dim: 0, episode: name.place as u64, start: name.start })
    }

    /// The clips behind `index`, as many as are continued at once.
    fn make(&mut self, index: usize) -> Result<()> {
        let count = self.listing.names.len();
        let (mut clips, mut indices, mut tellers) = (Vec::new(), Vec::new(), Vec::new());
        for at in index..(index + self.how.batch.max(1)).min(count) {
            let partner = match self.how.told {
                Told::Other => self.clip((at + count / 2) % count).map(Some),
                Told::Own | Told::Nothing => Ok(None),
            };
            match self.clip(at).and_then(|clip| Ok((clip, partner?))) {
                Ok((clip, partner)) => {
                    tellers.push(partner.unwrap_or_else(|| clip.clone()));
                    clips.push(clip);
                    indices.push(at);
                }
                Err(error) => {
                    self.ready.insert(at, Err(error));
                }
            }
        }
        if clips.is_empty() {
            return Ok(());
        }
        let (lam, world) = (self.origin.usual.lam.image, self.origin.usual.data.world_size);
        let actions = match (&self.model.lam, self.how.told) {
            (Some(model), Told::Own | Told::Other) => {
                let Batch { lam_view, .. } = collate(&tellers, lam, world, &self.device)?;
                Some(model.infer_long(&lam_view, self.origin.usual.data.frames)?.embedding)
            }
            _ => None,
        };
        let Batch { world_view, .. } = collate(&clips, lam, world, &self.device)?;
        let frames = world_view.dim(1)?;
        let start = world_view.narrow(1, 0, self.how.given)?;
        // The noise depends on the clip's number, so not on who shares its batch.
        let samples: Vec<u64> = indices.iter().map(|index| *index as u64).collect();
        let transitions = frames - 1;
        let imagined =
            self.model.world.rollout(&start, actions.as_ref(), transitions, &samples, &self.config)?;
        let row = |video: &Tensor, row: usize| -> Result<Video> {
            Ok(Video::from_tensor(&video.narrow(0, row, 1)?.squeeze(0)?)?)
        };
        for (at, index) in indices.into_iter().enumerate() {
            let pair =
                row(&world_view, at).and_then(|real| Ok(Pair { real, generated: row(&imagined, at)? }));
            self.ready.insert(index, pair);
        }
        Ok(())
    }
}

impl Pairs for Rollouts {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&mut self, index: usize) -> Result<Pair> {
        if !self.ready.contains_key(&index) {
            self.ready.clear();
            self.make(index)?;
        }
        self.ready.remove(&index).unwrap_or_else(|| Err(anyhow!("clip {index} was not made")))
    }
}
