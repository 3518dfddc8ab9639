//! What a frozen model calls a transition beside what really happened in it.

use candle_core::{DType, Device, Tensor};
use cola_data::{Clip, ClipSource, collate};
use cola_lam::LatentActionModel;

use crate::Error;
use crate::config::ExperimentConfig;
use crate::study::StudyError;
use crate::study::probe::ProbeInput;

/// Latent and real actions of `M` transitions, row by row, on the CPU; the input of probes and adapters.
///
/// Make one of each split: nothing here divides a source, and neighbouring clips of one source overlap.
#[derive(Clone, Debug)]
pub struct ActionPairs {
    /// Latent actions after quantization, `(M, n·d)` f32.
    pub embedding: Tensor,
    /// Before quantization, `(M, n·d)` f32.
    pub tokens: Tensor,
    /// Codes, `(M, n)` u32.
    pub codes: Tensor,
    /// Real actions in the data set's own units, `(M, A)` f32. With a frame stride of `s`, the `s` actions of a transition
    /// stand one after the other.
    pub actions: Tensor,
    /// Clips that they come from.
    pub clips: usize,
}

impl ActionPairs {
    /// Every transition of `count` clips spread evenly over the source, of all if it has fewer; whole frames, no crop.
    /// Longer clips than `data.frames` are read window by window, see [`LatentActionModel::infer_long`]. No more than
    /// `evaluation.batch` clips are in memory at once. `progress` hears how many of how many are done.
    ///
    /// # Errors
    /// [`StudyError::NoActions`], [`StudyError::FewTransitions`], [`StudyError::ActionNotFinite`] naming the clip,
    /// [`StudyError::NotFinite`] for latent actions; the source's and the device's.
    pub fn gather(
        lam: &LatentActionModel,
        source: &dyn ClipSource,
        count: usize,
        config: &ExperimentConfig,
        device: &Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let count = count.min(source.len());
        let transitions = count.saturating_mul(source.frames_per_clip().saturating_sub(1));
        if transitions < 2 {
            return Err(StudyError::FewTransitions { found: transitions }.into());
        }
        let chosen: Vec<usize> = (0..count).map(|i| i * source.len() / count).collect();
        let image = lam.config().image;
        let (mut tokens, mut codes, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        let mut done = 0;
        for part in chosen.chunks(config.evaluation.batch.max(1)) {
            let clips = part
                .iter()
                .map(|&index| checked(index, source.clip(index)?))
                .collect::<Result<Vec<Clip>, Error>>()?;
            let batch = collate(&clips, image, image, device)?;
            let found = lam.infer_long(&batch.lam_view, config.data.frames)?;
            let rows = |tensor: &Tensor, each: usize| {
                tensor.detach().to_device(&Device::Cpu)?.flatten_all()?.reshape(((), each))
            };
            let size = found.embedding.dim(2)?;
            let wide = (found.tokens.to_dtype(DType::F32)?, found.embedding.to_dtype(DType::F32)?);
            tokens.push([rows(&wide.0, size)?, rows(&wide.1, size)?]);
            codes.push(rows(&found.codes, found.codes.dim(2)?)?);
            let each = clips[0].action_dim; // a chunk has at least one clip
            let values: Vec<f32> = clips.into_iter().flat_map(|clip| clip.actions).collect();
            actions.push(Tensor::from_vec(values, ((), each), &Device::Cpu)?);
            done += part.len();
            progress(done, count);
        }
        let column =
            |which: usize| Tensor::cat(&tokens.iter().map(|both| &both[which]).collect::<Vec<&Tensor>>(), 0);
        let (tokens, embedding) = (column(0)?, column(1)?);
        let sum = tokens.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
        StudyError::if_not_finite("the latent actions", &[sum])?;
        Ok(Self {
            embedding,
            tokens,
            codes: Tensor::cat(&codes, 0)?,
            actions: Tensor::cat(&actions, 0)?,
            clips: count,
        })
    }

    /// Transitions, `M`.
    pub fn len(&self) -> usize {
        self.actions.dims()[0]
    }

    /// Whether there is no transition; never so after [`ActionPairs::gather`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Latent actions of the asked kind, `(M, n·d)` f64.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn latents(&self, input: ProbeInput) -> Result<Tensor, Error> {
        let chosen = match input {
            ProbeInput::Quantised => &self.embedding,
            ProbeInput::PreQuantised => &self.tokens,
        };
        Ok(chosen.to_dtype(DType::F64)?)
    }
}

/// Refuses a clip without actions or with one that is not a number.
fn checked(index: usize, clip: Clip) -> Result<Clip, Error> {
    if clip.action_dim == 0 {
        return Err(StudyError::NoActions { clip: index }.into());
    }
    match clip.actions.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(StudyError::ActionNotFinite {
            clip: index,
            transition: place / clip.action_dim,
            dimension: place % clip.action_dim,
            value: clip.actions[place],
        }
        .into()),
        None => Ok(clip),
    }
}
