//! The loss before the first step: whether a pre-trained generator's weights are really there.

use std::sync::Arc;

use candle_core::{DType, Result as TensorResult, Tensor};
use cola_data::{Batch, ClipSource, Loader};
use cola_nn::normal_by_sample;

use crate::Error;
use crate::plan::PhaseKind;
use crate::run::Run;
use crate::step::{Key, world_step};

/// A generator that has learned anything predicts better than this part of what no prediction loses.
const LEARNED: f64 = 0.9;

/// The world model's flow loss on the batch of the step that comes, found without gradients and without actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstLosses {
    /// Of the generator as it stands.
    pub flow: f64,
    /// Of a model that predicts zero everywhere: the mean square of the velocity, about 2 for latents of mean square 1. A
    /// fresh model does worse, since what it predicts is noise.
    pub nothing: f64,
}

impl FirstLosses {
    /// What looks wrong, in words; `None` where the generator has learned something.
    pub fn warning(&self) -> Option<String> {
        let Self { flow, nothing } = *self;
        // A loss that is not a number is as bad.
        (flow.is_nan() || flow >= LEARNED * nothing).then(|| {
            format!(
                "the first flow loss is {flow:.2}, that of a model that predicts nothing {nothing:.2}: the generator's \
                 weights look unloaded, or were made for other latents; check where the generator comes from"
            )
        })
    }
}

impl Run {
    /// The flow loss of the step that comes, for a run over a generator that is there already: `None` for a plan that
    /// makes one itself (`PRE`) or has no world model. About one forward pass; changes nothing.
    ///
    /// # Errors
    /// The source's, tensor arithmetic.
    pub fn first_losses(&self, source: &Arc<dyn ClipSource>) -> Result<Option<FirstLosses>, Error> {
        let plan = &self.config.plan;
        let worlds = plan.phases().iter().any(|phase| phase.kind.trains().action);
        let Some((index, _)) = plan.locate(self.step).filter(|_| worlds && !plan.has(PhaseKind::Pretrain))
        else {
            return Ok(None);
        };
        let crops = plan.phases()[index].kind.crops();
        let loader = Loader::new(source.clone(), self.config.loader(), self.config.seed)?;
        let batch = loader.batch(self.step, crops, &self.device)?;
        let key = Key { seed: self.config.seed, step: self.step };
        let step = world_step(&self.system()?, &self.config, &batch, key, false)?;
        Ok(Some(FirstLosses { flow: scalar(&step.loss)?, nothing: self.zero_prediction(&batch, key)? }))
    }

    /// Mean square of the velocity from noise to latents over the frames that are never given.
    fn zero_prediction(&self, batch: &Batch, key: Key) -> Result<f64, Error> {
        let clean = self.system()?.latents(batch)?;
        let (_, channels, frames, height, width) = clean.dims5()?;
        let shape = [channels, frames, height, width];
        let noise = normal_by_sample(&shape, key.seed, "noise", key.step, &batch.samples, clean.device())?;
        let given = self.config.flow.given_max.min(frames - 1);
        scalar(&(clean - noise)?.narrow(2, given, frames - given)?.sqr()?.mean_all()?).map_err(Error::from)
    }
}

fn scalar(of: &Tensor) -> TensorResult<f64> {
    of.to_dtype(DType::F64)?.to_scalar()
}
