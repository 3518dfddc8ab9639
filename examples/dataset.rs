//! Looks at a robot video dataset, says what is wrong with it, and turns it into another format or into latents.
//!
//!     cargo run --release --example dataset -- inspect
//!     cargo run --release --example dataset -- --help
//!
//! Every command works at once, with the RoboDesk clips and the small generator of this repository.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cola_examples::dataset::args::Command;
use cola_examples::dataset::{convert, draw, encode, inspect, validate};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Your own robot video: what is in it, what is wrong with it, another format of it, and its latents.
///
/// PATH is a dataset of any format that is read: the format is found by looking. Nothing is ever written into it.
///
/// Examples:
///   dataset inspect                                 the shipped RoboDesk clips: numbers, a contact sheet, histograms
///   dataset inspect path/to/dataset --split train   your own
///   dataset validate path/to/dataset                is every frame readable, every number finite, every clock right?
///   dataset validate path/to/dataset --repair       and a list of what to leave out
///   dataset convert path/to/dataset --out out/lerobot        in LeRobot v3.0, whatever it was
///   dataset draw --out out/tabletop                 a drawn robot's recordings, with true actions
///   dataset encode path/to/dataset --checkpoint out/coevolve --dtype f16
///   dataset encode path/to/dataset --vae hpcai-tech/OpenSora-VAE-v1.2 --side 256
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> Result<ExitCode> {
    leave_quietly();
    match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Validate(args) => {
            if !validate::run(&args)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Convert(args) => convert::run(&args)?,
        Command::Draw(args) => draw::run(&args)?,
        Command::Encode(args) => encode::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever reads the output may have seen enough (`| head`): no fault of this program, and no reason to panic.
fn leave_quietly() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<String>().is_some_and(|words| words.contains("Broken pipe")) {
            std::process::exit(0);
        }
        usual(panic);
    }));
}
