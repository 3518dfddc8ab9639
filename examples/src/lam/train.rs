//! `lam train`: stage one of the two-stage baseline.

use anyhow::{Result, bail};
use cola_coevolve::{ExperimentConfig, PhaseKind, Plan, checkpoint};
use cola_lam::{UsageReport, codebook_version};

use crate::args::RunArgs;
use crate::figures::write_curves;
use crate::lam::args::ModelArgs;
use crate::lam::codes::{usage_table, write_sheets};
use crate::lam::health::{judge, say};
use crate::lam::model::Model;
use crate::lam::survey::Survey;
use crate::training;

/// Clips of the survey at the end.
const CLIPS: usize = 2000;
/// Example pairs of a code on its sheets.
const EXAMPLES: usize = 6;
/// The paper's first stage (section 4.2), where a preset has none.
const PAPER_STEPS: u64 = 30_000;

/// Trains, then draws curves and sheets and gives the verdict on held-out clips.
///
/// # Errors
/// A configuration, folder or dataset that will not do; a loss that is not finite.
pub fn run(args: &RunArgs) -> Result<()> {
    let device = args.device.open()?;
    let (folder, config, choice, sources) = training::open(args, "lam", || configure(args))?;
    let mut run = training::start(args, &folder, &config, &choice, &device, |_| Ok(()))?;
    training::train(&mut run, &folder, &sources, None)?;
    write_curves(&folder.path("log.jsonl"), &config.plan, &folder.path("curves.png"))?;
    println!("LAM        version {}", codebook_version(&run.params().lam)?);
    drop(run);

    let newest = checkpoint::list(&folder.checkpoints()).pop();
    let model = Model::open(&ModelArgs { lam: newest, device: args.device })?;
    let survey = Survey::of(&model, &*sources.held_out, CLIPS)?;
    write_sheets(&model, &survey, &*sources.held_out, EXAMPLES, &folder.path(""))?;
    println!("\n{}", usage_table(&UsageReport::of(&survey.usage))?);
    say(&judge(&model, &survey), survey.usage.samples());
    println!("pictures   {folder}/curves.png, {folder}/codes-position-0.png and so on");
    println!("next       lam probe --lam {folder}; coevolve --lam-from {folder} --plan WM2K");
    Ok(())
}

/// The preset's `LAM` phases, or those of `--plan`.
fn configure(args: &RunArgs) -> Result<ExperimentConfig> {
    let mut config = args.experiment()?;
    let lam = config.plan.phases().iter().filter(|phase| phase.kind == PhaseKind::Lam);
    let steps: u64 = lam.map(|phase| phase.steps).sum();
    match (&args.plan, steps) {
        (Some(plan), steps) if steps != config.plan.steps() => {
            bail!(
                "--plan {plan}: lam train has LAM phases only, such as LAM2K; the program coevolve has the others"
            )
        }
        (None, 0) => config.plan = Plan::of(&[(PhaseKind::Lam, PAPER_STEPS)]),
        (_, steps) => config.plan = Plan::of(&[(PhaseKind::Lam, steps)]),
    }
    config.check()?;
    Ok(config)
}
