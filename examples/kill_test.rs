//! Kills the main job at random moments and compares what the resumed runs end with to an undisturbed one.
//!
//!     cargo build --release --examples
//!     cargo run --release --example kill_test
//!     cargo run --release --example kill_test -- --help
//!
//! Expect ten minutes for 100 trials on two CPU cores. A table tells of each trial when and where it was killed; the
//! folder `out/kill_test` then holds `report.json`, the undisturbed run, and the trials that ended otherwise: none.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cola_examples::kill_test::{KillArgs, run};

/// Is a run that is killed again and again the same as one that never was?
///
/// Runs the compiled program coevolve once undisturbed. Each trial then starts it in a folder of its own, kills it with
/// SIGKILL, resumes it, and kills the resumed one again half of the time, up to three times; at last it may end. Newest
/// checkpoint, log.jsonl and evaluation.json must be those of the undisturbed run, byte for byte. A run that is killed
/// before its config.toml is there is started again without --resume, since there is nothing to resume.
///
/// Examples:
///   kill_test                                       100 trials of a run of seconds
///   kill_test --moments checkpoints --times 20      kills while checkpoints are saved
///   kill_test --times 3 -- --scale tiny             another run: arguments of coevolve
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    kill: KillArgs,
}

fn main() -> Result<ExitCode> {
    let all_equal = run(&Cli::parse().kill)?;
    Ok(if all_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
