//! `lam health`: the verdict on a model in plain words.

use anyhow::Result;
use candle_core::{D, DType, Tensor};
use cola_coevolve::{HeldOut, Run, Sensitivity, Warning, sensitivity};
use cola_data::{Clip, ClipSource, collate};
use cola_lam::{Finding, UsageReport};
use cola_nn::Params;
use serde::Serialize;
use serde_json::json;

use crate::choice::write;
use crate::lam::args::HealthArgs;
use crate::lam::codes::usage_table;
use crate::lam::model::Model;
use crate::lam::survey::Survey;

/// Fewer transitions than codes, times this, say little about a codebook.
const FEW: u64 = 4;
/// Clips computed at once.
const BATCH: usize = 64;

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
    let code_norm = match model.lam.quantizer().codebook() {
        Some(codebook) => Some(mean_norm(&codebook.detach())?),
        None => None,
    };
    let told = code_norm.map_or_else(String::new, |norm| format!("; codes: norm {norm:.3}"));
    let spread = survey.token_spread.map_or_else(|| "unknown".into(), |spread| format!("{spread:.2}"));
    println!("tokens     norm {:.3}, spread over clips {spread} of it{told}", survey.token_norm);
    let mut verdict = judge(&model, &survey);
    let measured = action_cost(&model, &*clips, args.clips)?;
    if let Some(cost) = &measured {
        let Cost { of, mean, standard_error, own } = cost;
        println!(
            "actions    those of other clips raise the {of} by {mean:.4} +- {standard_error:.4} from {own:.4}"
        );
        if *mean < 2.0 * standard_error {
            let (mean, standard_error) = (*mean, *standard_error);
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
            "actions": measured,
            "collapsed": verdict.collapsed(),
            "too_few_transitions": verdict.unsure,
            "warnings": verdict.warnings,
        });
        write(file, &serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(verdict)
}

/// What the actions of other clips cost a prediction.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    /// Which error.
    of: &'static str,
    /// By how much it rises, mean over clips or batches.
    mean: f64,
    /// Standard error of that mean.
    standard_error: f64,
    /// With the clip's own actions.
    own: f64,
}

/// By the world model, if it was taught actions; otherwise by the forward dynamics model, if there is one.
fn action_cost(model: &Model, clips: &dyn ClipSource, count: usize) -> Result<Option<Cost>> {
    if !model.folder.join("state.json").is_file() || clips.len() < 2 {
        return Ok(None);
    }
    let run = Run::open(&model.folder, &model.device)?;
    let learned = |set: &str, params: &Params| {
        params.vars().iter().any(|(name, _)| run.updates(&format!("{set}.{name}")) > 0)
    };
    if learned("action", &run.params().action) {
        let config = run.config();
        let held_out = HeldOut::new(clips, config.evaluation.curve_transitions, config, &model.device)?;
        let Sensitivity { mean, standard_error, flow, .. } = sensitivity(&run.system()?, config, &held_out)?;
        return Ok(Some(Cost { of: "world model's flow loss", mean, standard_error, own: flow }));
    }
    if !learned("fdm", &run.params().fdm) {
        return Ok(None);
    }
    let fdm = run.system()?.fdm;
    let (mut rises, mut owns) = (Vec::new(), Vec::new());
    let count = count.min(clips.len());
    let side = model.config.lam.image;
    for first in (0..count).step_by(BATCH) {
        let part = (first..count.min(first + BATCH))
            .map(|index| clips.clip(index * clips.len() / count))
            .collect::<Result<Vec<Clip>, _>>()?;
        if part.len() < 2 {
            continue;
        }
        let video = collate(&part, side, side, &model.device)?.lam_view;
        let actions = model.lam.infer(&video)?.embedding;
        let half = part.len() / 2;
        let others =
            Tensor::cat(&[actions.narrow(0, half, part.len() - half)?, actions.narrow(0, 0, half)?], 0)?;
        let error = |actions: &Tensor| -> Result<f64> {
            Ok(fdm.loss(&video, actions, 0.0)?.to_dtype(DType::F64)?.to_scalar::<f64>()?)
        };
        let own = error(&actions)?;
        rises.push(error(&others)? - own);
        owns.push(own);
    }
    let n = rises.len() as f64;
    if n < 2.0 {
        return Ok(None);
    }
    let mean = rises.iter().sum::<f64>() / n;
    let variance = rises.iter().map(|rise| (rise - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Ok(Some(Cost {
        of: "forward model's error",
        mean,
        standard_error: (variance / n).sqrt(),
        own: owns.iter().sum::<f64>() / n,
    }))
}

fn mean_norm(table: &Tensor) -> Result<f64> {
    Ok(table.to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?.sqrt()?.mean_all()?.to_scalar()?)
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
