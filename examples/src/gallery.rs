//! What a run leaves to look at while it goes on: scores and rollouts at every evaluation, and its curves so far.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Device;
use cola_coevolve::{
    Error, Evaluation, ExperimentConfig, Observer, Phase, Pictures, Scores, System, evaluate,
};
use serde_json::json;

use crate::figures::{Rollouts, SHOWN, write_curves};
use crate::folder::RunFolder;
use crate::logs::Events;
use crate::output::write;
use crate::sources::Sources;

/// One-step clips of an evaluation during training, at most: it is to cost seconds. The one at the end has
/// `evaluation.transitions`.
const TRANSITIONS: usize = 32;

/// Writes `evaluations/step-00001000.{gif,png,json}` and `curves.png` whenever an evaluation is due.
///
/// All files are pure functions of the run, so a resumed run writes those beyond its checkpoint again, with the same
/// bytes. Phases without a world model that knows actions (`PRE`, `LAM`) have no rollouts to look at: they get their
/// curves only.
pub struct Gallery<'a> {
    config: ExperimentConfig,
    held_out: Option<(&'a Sources, &'a Device)>,
    folder: PathBuf,
    log: PathBuf,
    curves: PathBuf,
    events: Events,
}

impl<'a> Gallery<'a> {
    /// Of a run in `folder`; without held-out clips it draws curves only.
    pub fn new(
        config: &ExperimentConfig,
        folder: &RunFolder,
        held_out: Option<(&'a Sources, &'a Device)>,
        events: Events,
    ) -> Self {
        let mut config = config.clone();
        config.evaluation.transitions = config.evaluation.transitions.min(TRANSITIONS);
        config.evaluation.episodes = config.evaluation.episodes.min(SHOWN);
        Self {
            config,
            held_out,
            folder: folder.path("evaluations"),
            log: folder.path("log.jsonl"),
            curves: folder.path("curves.png"),
            events,
        }
    }

    fn evaluate(&self, phase: &Phase, step: u64, system: &System) -> Result<()> {
        write_curves(&self.log, &self.config.plan, &self.curves)?;
        let Some((sources, device)) = self.held_out.filter(|_| phase.kind.trains().action) else {
            return Ok(());
        };
        let clips = (&*sources.held_out, &*sources.long);
        let guidance = self.config.evaluation.guidance;
        let (evaluation, pictures) = evaluate(system, &self.config, guidance, clips, device, &mut |_, _| ())?;
        self.write(phase, step, &evaluation, &pictures)
    }

    fn write(&self, phase: &Phase, step: u64, evaluation: &Evaluation, pictures: &Pictures) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("{}: cannot make the folder", self.folder.display()))?;
        let file = |ending: &str| self.folder.join(format!("step-{step:08}.{ending}"));
        let rollouts = Rollouts::of(pictures)?;
        let strip = rollouts.strip()?;
        strip.save_png(file("png"))?;
        rollouts.write_gif(&file("gif"))?;
        let told = json!({ "step": step, "phase": phase.kind.name(), "evaluation": evaluation });
        write(&file("json"), &serde_json::to_vec_pretty(&told)?)?;

        let mut events = self.events.borrow_mut();
        let step = step as i64;
        let mut scores = |name: &str, scores: &Scores| {
            let rows = [
                ("true", scores.true_actions),
                ("shuffled", scores.shuffled),
                ("zero", scores.zero),
                ("copy", scores.copy),
            ];
            rows.into_iter()
                .try_for_each(|(row, psnr)| events.scalar(&format!("psnr_{name}/{row}"), step, psnr as f32))
        };
        scores("one_step", &evaluation.one_step)?;
        scores("rollout", &evaluation.rollout)?;
        events.image("rollouts", step, &strip)?;
        Ok(events.flush()?)
    }
}

impl Observer for Gallery<'_> {
    fn on_evaluation(&mut self, phase: &Phase, step: u64, system: &System) -> Result<(), Error> {
        self.evaluate(phase, step, system).map_err(|error| Error::Observer(error.into()))
    }
}
