//! The kill test: one undisturbed run, many killed ones, and whether all end the same.

mod job;
mod moment;
mod outcome;
mod reached;
mod report;
mod saves;
mod trial;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use cola_report::Progress;

use crate::folder::RunFolder;
use job::Job;
use moment::Pace;
use outcome::Outcome;
use report::Report;
use trial::Trial;

/// How often other moments are drawn for a trial that was not hit by any.
const ATTEMPTS: u64 = 10;

/// When runs are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Moments {
    /// At any time, drawn evenly from the length of an undisturbed run.
    Random,
    /// While a checkpoint is being saved.
    Checkpoints,
}

/// The command line.
#[derive(Args, Clone, Debug)]
pub struct KillArgs {
    /// Trials.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub times: u64,
    /// Seeds the moments, as parts of the undisturbed run's length.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// When to kill.
    #[arg(long, value_enum, default_value = "random")]
    pub moments: Moments,
    /// Output folder [default: `out/kill_test`, then -2 and so on if that is taken].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Arguments of coevolve, less --out and --resume [default: a run of seconds through all phases, with a checkpoint
    /// every four steps].
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<String>,
}

/// Runs all trials, tells of each, and says whether all ended as the undisturbed run did.
///
/// # Errors
/// A folder that will not do, a program that is missing, an undisturbed run that fails.
pub fn run(args: &KillArgs) -> Result<bool> {
    let job = Job::new(&args.arguments)?;
    let folder = RunFolder::create(args.out.as_deref(), "kill_test")?;
    println!("job        {job}");
    println!("output     {folder}");

    let reference = folder.path("undisturbed");
    let begun = Instant::now();
    let saves = job.start(&reference)?.finish()?;
    let pace = Pace { length: begun.elapsed(), saves };
    let expected = Outcome::of(&reference)?;
    println!("undisturbed {pace}");

    let mut report = Report::new(args, &job, &pace);
    let mut bar = Progress::start("trials", args.times, 0);
    for number in 0..args.times {
        let root = folder.path(&format!("trial-{number:03}"));
        // A run that was over before its moment came shows nothing: others are drawn for it.
        for attempt in 0..ATTEMPTS {
            let drawn = (args.seed, number + attempt * args.times);
            let trial = Trial::run(&job, &root, drawn, (args.moments, &pace), &expected);
            let counts = !trial.kills.is_empty() || !trial.is_equal() || attempt + 1 == ATTEMPTS;
            if trial.is_equal() {
                job.forget(&root)?;
            }
            if counts {
                report.add(trial);
                break;
            }
        }
        bar.tick(number + 1, &report.message());
    }
    bar.finish(&report.message());

    println!("\n{}", report.table()?);
    println!("{}", report.summary());
    report.write(&folder.path("report.json"))?;
    println!("report     {folder}/report.json");
    Ok(report.all_equal())
}
