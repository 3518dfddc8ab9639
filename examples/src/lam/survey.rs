//! All transitions of a set of clips: codes, tokens, what changes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cola_data::{Clip, ClipSource, collate};
use cola_lam::{CodebookUsage, TokenSpread};
use cola_report::Progress;

use crate::lam::model::Model;

/// Transitions of a frame of an episode, so that clips that overlap count each once.
type Known = BTreeSet<(u64, usize)>;

/// Clips computed at once.
const BATCH: usize = 64;

/// One transition.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its clip in the source.
    pub clip: usize,
    /// Its number in the clip.
    pub transition: usize,
    /// Its codes.
    pub codes: Vec<u32>,
}

/// What happens where one code occurs.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Sums of `after - before`, `(H, W, 3)`, pixels in `[0, 1]`.
    sum: Vec<f64>,
    /// Sums of the real actions; empty if the source has none.
    actions: Vec<f64>,
    /// Transitions.
    pub count: u64,
}

impl Change {
    /// The mean of `after - before`, `(H, W, 3)`; empty if there was no transition.
    pub fn mean(&self) -> Vec<f64> {
        self.over_count(&self.sum)
    }

    /// The mean real action in the source's own units; empty if it has none.
    pub fn mean_action(&self) -> Vec<f64> {
        self.over_count(&self.actions)
    }

    fn over_count(&self, sums: &[f64]) -> Vec<f64> {
        sums.iter().map(|sum| sum / self.count.max(1) as f64).collect()
    }

    fn add(&mut self, change: &[f64], action: &[f32]) {
        self.count += 1;
        self.sum.resize(change.len(), 0.0);
        self.sum.iter_mut().zip(change).for_each(|(sum, value)| *sum += value);
        self.actions.resize(action.len(), 0.0);
        self.actions.iter_mut().zip(action).for_each(|(sum, value)| *sum += f64::from(*value));
    }
}

/// What a model makes of some clips.
pub struct Survey {
    /// The transitions in the order of the clips.
    pub seen: Vec<Seen>,
    /// Their histogram.
    pub usage: CodebookUsage,
    /// What happens where a code occurs, for each position; codes that never occur are not there.
    pub changes: Vec<BTreeMap<u32, Change>>,
    /// Mean norm of the tokens.
    pub token_norm: f64,
    /// Root mean square distance of the tokens from their mean over the clips, over that norm; `None` for a single clip.
    pub token_spread: Option<f64>,
}

impl Survey {
    /// Looks at `count` clips, spread evenly over the source, uncropped.
    ///
    /// # Errors
    /// The source's, tensor arithmetic.
    pub fn of(model: &Model, source: &dyn ClipSource, count: usize) -> Result<Self> {
        let count = count.min(source.len());
        let config = &model.config.lam;
        let side = config.image;
        let mut survey = Self {
            seen: Vec::new(),
            usage: CodebookUsage::new(config.tokens, config.codes),
            changes: vec![BTreeMap::new(); config.tokens],
            token_norm: 0.0,
            token_spread: None,
        };
        let mut tokens = TokenSpread::default();
        let mut known = Known::new();
        let mut bar = Progress::start("look at clips", count as u64, 0);
        for first in (0..count).step_by(BATCH) {
            let places: Vec<usize> =
                (first..count.min(first + BATCH)).map(|i| i * source.len() / count).collect();
            let clips = places.iter().map(|&place| source.clip(place)).collect::<Result<Vec<Clip>, _>>()?;
            let video = collate(&clips, side, side, &model.device)?.lam_view;
            let actions = model.lam.infer(&video)?;
            survey.add(model, &mut known, &places, &clips, (&video, &actions.codes))?;
            tokens.add(&actions.tokens)?;
            bar.tick((first + places.len()) as u64, "clips");
        }
        bar.finish("");
        (survey.token_norm, survey.token_spread) = (tokens.norm(), tokens.spread());
        Ok(survey)
    }

    fn add(
        &mut self,
        model: &Model,
        known: &mut Known,
        places: &[usize],
        clips: &[Clip],
        (video, codes): (&Tensor, &Tensor),
    ) -> Result<()> {
        let (_, transitions, _) = codes.dims3()?;
        let codes = codes.to_vec3::<u32>()?;
        let mut fresh = Vec::new();
        for (clip, shown) in clips.iter().enumerate() {
            let frames = video.get(clip)?.permute((0, 2, 3, 1))?; // (T, H, W, 3)
            for transition in 0..transitions {
                let frame = shown.start + transition * model.config.data.frame_stride;
                if !known.insert((shown.episode, frame)) {
                    continue;
                }
                let change = (frames.get(transition + 1)? - frames.get(transition)?)?;
                let change = change.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                let codes = codes[clip][transition].clone();
                let each = shown.action_dim;
                let action = &shown.actions[transition * each..(transition + 1) * each];
                for (position, &code) in codes.iter().enumerate() {
                    self.changes[position].entry(code).or_default().add(&change, action);
                }
                fresh.extend_from_slice(&codes);
                self.seen.push(Seen { clip: places[clip], transition, codes });
            }
        }
        let count = model.config.lam.tokens;
        let rows = fresh.len() / count;
        self.usage.add(&Tensor::from_vec(fresh, (rows, count), &Device::Cpu)?)?;
        Ok(())
    }
}
