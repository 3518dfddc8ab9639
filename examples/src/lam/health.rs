//! `lam health`: the verdict on a model in plain words.

use anyhow::Result;
use cola_coevolve::{HeldOut, Run, Warning, sensitivity};
use cola_lam::{Finding, UsageReport};
use serde_json::json;

use crate::choice::write;
use crate::lam::args::HealthArgs;
use crate::lam::codes::usage_table;
use crate::lam::model::Model;
use crate::lam::survey::Survey;

/// What was found.
pub struct Verdict {
    /// What is wrong, the gravest first.
    pub warnings: Vec<Warning>,
}

impl Verdict {
    /// Whether the latent actions say nothing.
    pub fn collapsed(&self) -> bool {
        self.warnings.iter().any(Warning::is_collapse)
    }
}

/// Judges a survey by the limits of the model's configuration.
pub fn judge(model: &Model, survey: &Survey) -> Verdict {
    let config = &model.config.health;
    let findings: Vec<Finding> = config.codebook.findings(&survey.usage);
    let mut warnings: Vec<Warning> = findings.into_iter().map(Warning::Codebook).collect();
    if survey.token_spread < config.token_spread {
        warnings.push(Warning::ConstantTokens { spread: survey.token_spread, windows: 1 });
    }
    warnings.sort_by_key(|warning| !warning.is_collapse());
    Verdict { warnings }
}

/// Prints what is known of a model on held-out clips and what to do about it.
///
/// # Errors
/// A model or dataset that will not do.
pub fn run(args: &HealthArgs) -> Result<Verdict> {
    let model = Model::open(&args.model)?;
    let clips = model.clips(&args.data, &args.split)?;
    let survey = Survey::of(&model, &*clips, args.clips)?;
    let report = UsageReport::of(&survey.usage);
    println!("{}", usage_table(&report)?);
    println!("tokens     norm {:.3}, spread over clips {:.2} of it", survey.token_norm, survey.token_spread);
    let mut verdict = judge(&model, &survey);
    // Only a run's checkpoint has a world model, and only after a phase that taught it actions.
    let mut measured = None;
    if model.folder.join("state.json").is_file() {
        let run = Run::open(&model.folder, &model.device)?;
        let knows_actions =
            run.params().action.vars().iter().any(|(name, _)| run.updates(&format!("action.{name}")) > 0);
        if knows_actions {
            let config = run.config();
            let held_out = HeldOut::new(&*clips, config.evaluation.curve_transitions, config, &model.device)?;
            let found = sensitivity(&run.system()?, config, &held_out)?;
            println!(
                "actions    those of other clips cost the world model {:.4} +- {:.4} of flow loss ({:.4} with its own)",
                found.mean, found.standard_error, found.flow
            );
            if found.mean < 2.0 * found.standard_error {
                let (mean, standard_error) = (found.mean, found.standard_error);
                verdict.warnings.push(Warning::IgnoredActions { mean, standard_error, windows: 1 });
            }
            measured = Some(found);
        }
    }
    say(&verdict, survey.usage.samples());
    if let Some(file) = &args.json {
        let all = json!({
            "codebook": model.version,
            "model": model.folder,
            "split": args.split,
            "codes": report,
            "token_norm": survey.token_norm,
            "token_spread": survey.token_spread,
            "sensitivity": measured,
            "collapsed": verdict.collapsed(),
            "warnings": verdict.warnings,
        });
        write(file, &serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(verdict)
}

/// The verdict on the terminal.
pub fn say(verdict: &Verdict, samples: u64) {
    let word = match (verdict.collapsed(), verdict.warnings.is_empty()) {
        (true, _) => "COLLAPSED: the latent actions, or some of their positions, say nothing",
        (false, false) => "ailing: in use, but not as it should be",
        (false, true) => "healthy: every limit holds",
    };
    println!("verdict    {word} ({samples} transitions)");
    for warning in &verdict.warnings {
        println!("  - {warning}\n    {}", warning.advice());
    }
}
