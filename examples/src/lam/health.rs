//! `lam health`: the verdict on a model in plain words.

use anyhow::Result;
use cola_coevolve::{HeldOut, Run, Sensitivity, Warning, forward_sensitivity, sensitivity};
use cola_data::ClipSource;
use cola_lam::{Finding, UsageReport};
use cola_nn::Params;
use serde_json::json;

use crate::lam::args::HealthArgs;
use crate::lam::codes::usage_table;
use crate::lam::model::Model;
use crate::lam::survey::Survey;
use crate::output::write;

/// Fewer transitions than codes, times this, say little about a codebook.
const FEW: u64 = 4;

/// What was found.
pub struct Verdict {
    /// What is wrong, the gravest first.
    pub warnings: Vec<Warning>,
    /// There were too few transitions to judge the codebook.
    pub unsure: bool,
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
    let unsure = survey.usage.samples() < FEW * model.config.lam.codes as u64;
    let findings: Vec<Finding> = config.codebook.findings(&survey.usage);
    let mut warnings: Vec<Warning> = findings.into_iter().map(Warning::Codebook).collect();
    if let Some(spread) = survey.token_spread
        && spread < config.token_spread
    {
        warnings.push(Warning::ConstantTokens { spread, windows: 1 });
    }
    if survey.seen.len() < 2 {
        // A single transition has one code, of course.
        warnings.clear();
    }
    warnings.sort_by_key(|warning| !warning.is_collapse());
    Verdict { warnings, unsure }
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
    let code_norm = model.lam.quantizer().code_norm()?;
    let told = code_norm.map_or_else(String::new, |norm| format!("; codes: norm {norm:.3}"));
    let spread = survey.token_spread.map_or_else(|| "unknown".into(), |spread| format!("{spread:.2}"));
    println!("tokens     norm {:.3}, spread over clips {spread} of it{told}", survey.token_norm);
    let mut verdict = judge(&model, &survey);
    let measured = action_cost(&model, &*clips)?;
    if let Some((of, Sensitivity { mean, standard_error, own, .. })) = measured {
        println!(
            "actions    those of other clips raise the {of} by {mean:.4} +- {standard_error:.4} from {own:.4}"
        );
        if mean < 2.0 * standard_error {
            verdict.warnings.push(Warning::IgnoredActions { mean, standard_error, windows: 1 });
        }
    }
    say(&model, &verdict, survey.usage.samples());
    if let Some(file) = &args.json {
        let all = json!({
            "codebook": model.version,
            "model": model.folder,
            "split": args.split,
            "codes": report,
            "token_norm": survey.token_norm,
            "token_spread": survey.token_spread,
            "code_norm": code_norm,
            "actions": measured.map(|(of, found)| json!({ "of": of, "sensitivity": found })),
            "collapsed": verdict.collapsed(),
            "too_few_transitions": verdict.unsure,
            "warnings": verdict.warnings,
        });
        write(file, &serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(verdict)
}

/// What the actions of other clips cost a prediction, and of whom: the world model, if it was taught actions, otherwise
/// the forward dynamics model, if it learned.
fn action_cost(model: &Model, clips: &dyn ClipSource) -> Result<Option<(&'static str, Sensitivity)>> {
    if !model.folder.join("state.json").is_file() {
        return Ok(None);
    }
    let run = Run::open(&model.folder, &model.device)?;
    let learned = |set: &str, params: &Params| {
        params.vars().iter().any(|(name, _)| run.updates(&format!("{set}.{name}")) > 0)
    };
    let (taught, forward) = (learned("action", &run.params().action), learned("fdm", &run.params().fdm));
    if !(taught || forward) || clips.len() < 2 {
        return Ok(None);
    }
    let (system, config) = (run.system()?, run.config());
    let held_out = HeldOut::new(clips, config.evaluation.curve_transitions, config, &model.device)?;
    Ok(Some(if taught {
        ("world model's flow loss", sensitivity(&system, config, &held_out)?)
    } else {
        ("forward model's error", forward_sensitivity(&system, config, &held_out)?)
    }))
}

/// The verdict on the terminal.
pub fn say(model: &Model, verdict: &Verdict, samples: u64) {
    let word = match (verdict.collapsed(), verdict.warnings.is_empty(), verdict.unsure) {
        (true, ..) => "COLLAPSED: the latent actions, or some of their positions, say nothing",
        (false, _, true) => "unsure: too few transitions for so many codes; raise --clips",
        (false, false, _) => "ailing: in use, but not as it should be",
        (false, true, _) => "healthy: every limit holds",
    };
    println!("verdict    {word} ({samples} transitions, {} codes)", model.config.lam.codes);
    for warning in &verdict.warnings {
        println!("  - {warning}\n    {}", warning.advice(&model.config));
    }
}
