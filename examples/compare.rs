//! Draws several training runs together and compares their final figures.
//!
//!     cargo run --release --example compare -- out/coevolve out/coevolve-2
//!     cargo run --release --example compare -- --help
//!
//! Expect a second. `out/compare.png` then has a panel for each figure, `out/compare.csv` every number of every run, and
//! `out/compare.md` the table that is printed.

use anyhow::{Context, Result};
use clap::Parser;
use cola_examples::compare::group::{CompareArgs, Group};
use cola_examples::compare::series::panels;
use cola_examples::compare::tables::{every_number, figures};
use cola_examples::output::write;
use cola_report::curves;

/// Draws several training runs together and compares their final figures. Runs may still be going.
///
/// A group of several runs is drawn as their mean within their range, at the steps that all of them have reached; its
/// figures have the standard deviation over the runs beside them.
///
/// Examples:
///   compare out/coevolve out/coevolve-2 --labels warm,naive
///   compare joint=out/seed0,out/seed1 warm=out/seed2,out/seed3 --out out/seeds.png
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    compare: CompareArgs,
}

fn main() -> Result<()> {
    let args = Cli::parse().compare;
    let groups = Group::all(&args)?;
    let out = &args.out;
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    }
    let panels = panels(&groups);
    let (csv, md) = (out.with_extension("csv"), out.with_extension("md"));
    curves(&panels, 2, "optimizer step").save_png(out)?;
    write(&csv, every_number(&groups)?.to_csv().as_bytes())?;
    let table = figures(&groups)?;
    write(&md, table.to_markdown().as_bytes())?;
    println!("{table}\nfiles       {}, {}, {}", out.display(), csv.display(), md.display());
    Ok(())
}
