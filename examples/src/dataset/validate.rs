//! `dataset validate`: what is wrong with a dataset.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use cola_data::{Exclusions, Finding, Severity, ValidateOptions, What, validate};
use cola_report::Table;
use serde_json::json;

use crate::dataset::args::ValidateArgs;
use crate::dataset::source::{Patience, Source};
use crate::lam::model::result_folder;
use crate::output::write;

/// Findings on the terminal.
const SHOWN: usize = 20;
/// Letters of a message on the terminal.
const LETTERS: usize = 240;

/// Checks a dataset and writes the report; tells whether it passed.
///
/// # Errors
/// A dataset or folder that will not do. What is wrong inside the dataset is a finding, not an error.
pub fn run(args: &ValidateArgs) -> Result<bool> {
    let source = Source::open(&args.data)?;
    let cameras: Vec<String> = source.cameras.iter().map(|camera| camera.key.clone()).collect();
    println!(
        "dataset    {}, format {}: {} episodes, {} frames, {}",
        source.name(),
        source.dataset.format(),
        source.episodes.len(),
        source.frames(),
        match cameras.as_slice() {
            [one] => format!("camera {one}"),
            _ => format!("{} cameras", cameras.len()),
        }
    );
    let options = ValidateOptions { frozen: args.frozen, ..ValidateOptions::default() };
    let mut bar = Patience::new("validate", "frames");
    let found = validate(&*source.dataset, &source.episodes, &cameras, &options, &mut |done, total| {
        bar.tick(done, total)
    })?;
    bar.finish();

    let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let passed = errors == 0 && !(args.strict && warnings > 0);
    let folder = result_folder(args.out.as_deref(), "dataset-validate")?;
    let report = json!({
        "name": source.name(),
        "format": source.dataset.format(),
        "split": args.data.split,
        "episodes": source.episodes.len(),
        "frames": source.frames(),
        "cameras": cameras,
        "frozen": args.frozen,
        "strict": args.strict,
        "passed": passed,
        "errors": errors,
        "warnings": warnings,
        "findings": found,
    });
    write(&folder.join("validate.json"), &serde_json::to_vec_pretty(&report)?)?;
    print(&found, &source.path)?;
    let verdict = match (errors, warnings) {
        (0, 0) => "sound: nothing to complain of".to_owned(),
        (0, _) => format!("{}, no errors", counted(warnings, "warning")),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    println!("verdict    {verdict}");
    println!("report     {}", folder.join("validate.json").display());
    if args.repair {
        let at_least = if args.strict { Severity::Warning } else { Severity::Error };
        let list = Exclusions::of(&found, at_least);
        let file = folder.join("exclude.json");
        list.write(&file)?;
        let frames = |episode: usize| source.dataset.episodes()[episode].frames;
        let kept: usize = source
            .episodes
            .iter()
            .flat_map(|&episode| list.keep(episode, frames(episode)))
            .map(|run| run.len())
            .sum();
        println!(
            "repair     {} of {} frames are left out by {}",
            source.frames() - kept,
            source.frames(),
            file.display()
        );
    }
    Ok(passed)
}

/// How many of each kind, then the first ones, errors before warnings.
fn print(found: &[Finding], root: &Path) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut kinds: BTreeMap<(std::cmp::Reverse<Severity>, What), usize> = BTreeMap::new();
    for finding in found {
        *kinds.entry((std::cmp::Reverse(finding.severity), finding.what)).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.iter().map(|((_, what), count)| format!("{count} {}", word(*what))).collect();
    println!("found      {}\n", kinds.join(", "));
    let mut order: Vec<&Finding> = found.iter().collect();
    order.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    // Which data set it is was said above.
    let root = format!("{}/", root.display());
    let mut table = Table::new(["", "episode", "camera", "finding"]);
    for finding in order.iter().take(SHOWN) {
        let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
        let episode = match finding.episode {
            None => "all".to_owned(),
            // Many names hold the number already.
            Some(number) if finding.name.contains(&number.to_string()) => finding.name.clone(),
            Some(number) => format!("{number}: {}", finding.name),
        };
        let camera = finding.camera.clone().unwrap_or_default();
        table.row([severity.to_owned(), episode, camera, shortened(&finding.message.replace(&root, ""))])?;
    }
    println!("{table}");
    if found.len() > SHOWN {
        println!("and {} more in validate.json\n", found.len() - SHOWN);
    }
    Ok(())
}

/// The beginning of a message, which says the most.
fn shortened(message: &str) -> String {
    match message.chars().count() > LETTERS {
        true => message.chars().take(LETTERS - 3).chain("...".chars()).collect(),
        false => message.to_owned(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn word(what: What) -> &'static str {
    match what {
        What::Rows => "unreadable rows",
        What::Length => "length",
        What::Times => "times",
        What::Gap => "gap",
        What::Rate => "rate",
        What::Actions => "actions",
        What::States => "states",
        What::ConstantActions => "constant actions",
        What::ActionSize => "action sizes",
        What::Skipped => "left out",
        What::Checksum => "checksum",
        What::Splits => "splits",
        What::Pictures => "unreadable pictures",
        What::Black => "black",
        What::Uniform => "one colour",
        What::Frozen => "standing still",
    }
}
