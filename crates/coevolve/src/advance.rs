//! One optimizer step of a run: forward and backward over the parts of a batch, update, codebook.

use candle_core::{DType, Result as Computed, Tensor};
use cola_data::Batch;

use crate::Error;
use crate::codebook;
use crate::divergence::Divergence;
use crate::gradients::Gradients;
use crate::idm_gradient;
use crate::learner::Learner;
use crate::optim::Update;
use crate::plan::{Phase, PhaseKind};
use crate::run::Run;
use crate::step::{Key, Step, lam_step, world_step};
use crate::system::System;

/// What came of a step.
pub(crate) enum Advance {
    /// The flow loss, or the reconstruction error of a LAM phase: the quantizer's losses grow with the tokens and say
    /// little by themselves.
    Done(f64),
    /// A loss or gradient that is not a number; nothing was updated.
    Diverged(Box<Divergence>),
}

/// What the parts of a batch gave together.
struct Gathered {
    /// Without history.
    step: Step,
    grads: Gradients,
    /// Of the quantizer's losses alone, on the inverse dynamics model; only where a record wants it.
    of_vq: Option<Gradients>,
    told: f64,
}

fn scalar(value: &Tensor) -> Computed<f64> {
    Ok(f64::from(value.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}

impl Run {
    /// Forward, backward, update.
    pub(crate) fn advance(
        &mut self,
        phase: &Phase,
        within: u64,
        system: &System,
        learners: &[Learner],
        batch: &Batch,
    ) -> Result<Advance, Error> {
        let diverged = |what: &str, value: f64, variables: Vec<String>| {
            Advance::Diverged(Box::new(Divergence {
                step: self.step,
                phase: phase.to_string(),
                what: what.into(),
                value: value.to_string(),
                clips: batch.clips.clone(),
                samples: batch.samples.clone(),
                variables,
            }))
        };
        let records = self.record_follows(self.step + 1, phase, within);
        let Gathered { step, grads, of_vq, told } =
            match self.gather(phase.kind, system, learners, batch, records)? {
                Ok(gathered) => gathered,
                Err(loss) => return Ok(diverged("loss", loss, Vec::new())),
            };
        let factor = self.config.phase(phase.kind).factor(within, phase.steps);
        let updates: Vec<Update<'_>> = learners
            .iter()
            .map(|learner| Update {
                name: &learner.name,
                var: &learner.var,
                rate: learner.rate * factor,
                decays: learner.decays,
                averaged: learner.averaged,
            })
            .collect();
        let norm = self.optimizer.step_gathered(&updates, &grads)?;
        if !norm.is_finite() {
            return Ok(diverged("gradient norm", norm, grads.not_finite()?));
        }
        if let Some(of_vq) = of_vq {
            let idm = learners.iter().filter(|learner| learner.is_idm()).map(|learner| learner.name.as_str());
            let (prediction, vq) = idm_gradient::by_source(idm, &grads, &of_vq)?;
            self.window.add_sources(prediction, vq);
        }
        self.window.add(&step, norm)?;
        if let (Some(tokens), Some(codes)) = (&step.tokens, &step.codes) {
            self.tend_codebook(phase, within, tokens, codes)?;
        }
        Ok(Advance::Done(told))
    }

    /// Gradients and losses of a batch, part after part; a loss that is not finite comes back instead.
    fn gather(
        &self,
        kind: PhaseKind,
        system: &System,
        learners: &[Learner],
        batch: &Batch,
        records: bool,
    ) -> Result<Result<Gathered, f64>, Error> {
        let key = Key { seed: self.config.seed, step: self.step };
        let (clips, count) = (batch.samples.len(), self.config.data.accumulate);
        let wants_sources = records && learners.iter().any(Learner::is_idm);
        let (mut grads, mut of_vq, mut told) = (Gradients::default(), None, 0.0);
        let mut steps = Vec::with_capacity(count);
        for part in 0..count {
            let range = part * clips / count..(part + 1) * clips / count;
            let share = range.len() as f64 / clips as f64;
            let batch = if count == 1 { batch.clone() } else { batch.part(range)? };
            let step = match kind {
                PhaseKind::Lam => lam_step(system, &self.config, &batch)?,
                kind => world_step(system, &self.config, &batch, key, kind.has_actions())?,
            };
            let loss = scalar(&step.loss)?;
            if !loss.is_finite() {
                return Ok(Err(loss));
            }
            told += match step.flow.as_ref().or(step.reconstruction.as_ref()) {
                Some(told) => scalar(told)?,
                None => loss,
            } * share;
            let weighed = |loss: &Tensor| if count == 1 { Ok(loss.clone()) } else { loss * share };
            let variables = || learners.iter().map(|learner| (learner.name.as_str(), &learner.var));
            grads.add(variables(), &weighed(&step.loss)?.backward()?)?;
            if let (true, Some(vq)) = (wants_sources, &step.vq) {
                let idm = variables().zip(learners).filter(|(_, learner)| learner.is_idm());
                let found = weighed(&vq.total(&self.config.lam)?)?.backward()?;
                of_vq.get_or_insert_with(Gradients::default).add(idm.map(|(named, _)| named), &found)?;
            }
            // The part's graph ends here, before the next one is built.
            steps.push((share, step.detached()));
        }
        // The graphs are gone: variables change in place from here on.
        Ok(Ok(Gathered { step: Step::join(steps)?, grads, of_vq, told }))
    }

    /// What happens to the codebook outside the gradient.
    fn tend_codebook(
        &mut self,
        phase: &Phase,
        within: u64,
        tokens: &Tensor,
        codes: &Tensor,
    ) -> Result<(), Error> {
        let (config, step, remedies) = (&self.config, self.step, &self.config.remedies);
        if self.trains(phase).lam {
            codebook::follow(config, &self.params, tokens, codes)?;
        }
        let restarts = remedies.restart_after > 0 && within < remedies.restart_until;
        if phase.kind == PhaseKind::Lam && restarts {
            let found = (tokens, codes);
            codebook::restart(config, &self.params, &mut self.optimizer, &mut self.restart, step, found)?;
        }
        Ok(())
    }
}
