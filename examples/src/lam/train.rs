//! `lam train`: stage one of the two-stage baseline.

use anyhow::{Result, bail};
use cola_coevolve::{ExperimentConfig, PhaseKind, Plan, checkpoint};
use cola_lam::UsageReport;

use crate::args::RunArgs;
use crate::lam::args::ModelArgs;
use crate::lam::codes::{usage_table, write_sheets};
use crate::lam::health::{judge, say};
use crate::lam::model::Model;
use crate::lam::survey::Survey;
use crate::{signals, training};

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
    if args.print_config {
        return training::print_config(&configure(args)?);
    }
    signals::listen()?;
    let device = args.device.open()?;
    let (folder, config, sources) = training::open(args, "lam", || configure(args))?;
    let mut run = training::start(args, &folder, &config, &device, |_| Ok(()))?;
    training::train(args.plain, &mut run, &folder, &sources, None, &device)?;
    drop(run);

    let newest = checkpoint::list(&folder.checkpoints()).pop();
    let model = Model::open(&ModelArgs { lam: newest, device: args.device })?;
    let survey = Survey::of(&model, &*sources.held_out, CLIPS)?;
    write_sheets(&model, &survey, &*sources.held_out, EXAMPLES, &folder.path(""))?;
    println!("\n{}", usage_table(&UsageReport::of(&survey.usage))?);
    say(&model, &judge(&model, &survey), survey.usage.samples());
    println!("pictures   {folder}/curves.png, {folder}/codes-position-0.png and so on");
    println!("next       lam probe --lam {folder}");
    for (plan, words) in [("WM2K", "stage two of the baseline"), ("E2E2K", "joint training from this model")]
    {
        println!(
            "           coevolve --config {folder}/config.toml --lam-from {folder} --plan {plan}   ({words})"
        );
    }
    Ok(())
}

/// The preset's `LAM` phases, or the plan that the user asked for, which must have no others.
fn configure(args: &RunArgs) -> Result<ExperimentConfig> {
    if args.without_warmup || args.pretrain {
        bail!(
            "lam train has neither a WARM phase nor a video generator: leave out --without-warmup and --pretrain"
        );
    }
    let mut config = args.experiment()?;
    let lam = config.plan.phases().iter().filter(|phase| phase.kind == PhaseKind::Lam);
    let steps: u64 = lam.map(|phase| phase.steps).sum();
    let asked =
        args.plan.is_some() || args.overrides.iter().any(|value| value.trim_start().starts_with("plan"));
    if asked && steps != config.plan.steps() {
        bail!(
            "plan {}: lam train has LAM phases only, such as LAM2K; the program coevolve has the others",
            config.plan
        );
    }
    let steps = if steps == 0 { PAPER_STEPS } else { steps };
    config.plan = Plan::of(&[(PhaseKind::Lam, steps)]);
    config.check()?;
    Ok(config)
}
