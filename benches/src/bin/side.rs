//! The Rust side of `benches/reference/compare.py`: builds a case, then runs one iteration for every line on stdin.
//!
//!     cargo run --release -p cola-benches --bin side -- xl_block_space --threads 2
//!
//! Prints a line of JSON once it is ready and one for each iteration; `peak_mb` is resident memory above that of the
//! process before it built the case.

use std::env;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use cola_benches::cases::CASES;
use cola_report::memory;
use serde_json::json;

/// One side of a comparison.
#[derive(Parser)]
struct Cli {
    /// Name of the case.
    #[arg(required_unless_present = "list")]
    case: Option<String>,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Write parameters, inputs and result to this file instead, for PyTorch to compare.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Print the names of the cases.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    if cli.list {
        writeln!(io::stdout(), "{}", names.join(" "))?;
        return Ok(());
    }
    let wanted = cli.case.unwrap_or_default();
    let Some((_, build)) = CASES.iter().find(|(name, _)| *name == wanted) else {
        bail!("case `{wanted}`: expected one of {}", names.join(", "));
    };
    set_threads(cli.threads)?;

    let base = memory::resident().unwrap_or(0.0);
    let mut case = build().with_context(|| format!("case `{wanted}` cannot be built"))?;
    if let Some(file) = cli.save {
        let Some(example) = &case.example else { bail!("case `{wanted}` has nothing to compare") };
        return Ok(cola_nn::save_tensors(example()?, &file)?);
    }
    say(&json!({ "ready": true, "parameters": case.parameters, "base_mb": base }))?;
    for line in io::stdin().lock().lines() {
        line?;
        memory::reset_peak();
        let start = Instant::now();
        (case.run)().with_context(|| format!("case `{wanted}` failed"))?;
        let ms = 1000.0 * start.elapsed().as_secs_f64();
        say(&json!({ "ms": ms, "peak_mb": memory::peak().unwrap_or(0.0) - base }))?;
    }
    Ok(())
}

/// Libraries read their thread counts from the environment when they first need them, and a running process cannot change
/// it safely: where it says something else, the program starts itself anew.
fn set_threads(threads: usize) -> Result<()> {
    let threads = threads.to_string();
    let wanted = [
        ("RAYON_NUM_THREADS", threads.as_str()),
        ("CANDLE_NUM_THREADS", "1"),
        ("MIMALLOC_PURGE_DELAY", "-1"),
    ];
    if wanted.iter().all(|(name, value)| env::var(name).is_ok_and(|found| found == *value)) {
        return Ok(());
    }
    let error = Command::new(env::current_exe()?).args(env::args_os().skip(1)).envs(wanted).exec();
    Err(error).context("the program cannot start itself with another number of threads")
}

fn say(answer: &serde_json::Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}
