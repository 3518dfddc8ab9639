//! The latent action model on its own: train it, look at its codes, export them, judge it.
//!
//!     cargo run --release --example lam -- health
//!     cargo run --release --example lam -- --help
//!
//! `health`, `codes`, `probe` and `encode` work at once, with the small model of this repository; `train` takes two
//! minutes on two CPU cores.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cola_examples::lam::args::Command;
use cola_examples::lam::{codes, encode, health, probe, train};
use cola_examples::signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status of `health` for a collapsed codebook.
const COLLAPSED: u8 = 3;

/// The latent action model: trains it, exports its codes, shows what they mean, and says whether it is healthy.
///
/// A latent action model names what happens between two frames by a few discrete codes, without any action label. Its
/// commonest failure is silent: the codebook collapses, and every transition gets the same name.
///
/// Examples:
///   lam health                                      the shipped model, judged on held-out RoboDesk clips
///   lam codes                                       sheets that show what each code means
///   lam probe --lam out/lam                         can real actions be read from latent ones?
///   lam encode film.mp4 --out actions.csv           the latent actions of any video
///   lam train --data path/to/lerobot_dataset        your own
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    signals::exit_status(run(Cli::parse().command))
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(args) => train::run(&args)?,
        Command::Encode(args) => encode::run(&args)?,
        Command::Probe(args) => probe::run(&args)?,
        Command::Codes(args) => codes::run(&args)?,
        Command::Health(args) => {
            if health::run(&args)?.collapsed() {
                return Ok(ExitCode::from(COLLAPSED));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
