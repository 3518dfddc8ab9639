//! Scores generated videos against real ones: PSNR, SSIM, LPIPS, FVD.
//!
//!     cargo run --release --example evaluate
//!     cargo run --release --example evaluate -- REAL GENERATED
//!     cargo run --release --example evaluate -- --help
//!
//! Expect half a minute: without arguments the small generator of this repository continues held-out RoboDesk frames.
//! The folder `out/evaluate` then holds `report.json`, `frames.csv`, `horizon.png`, `best.png` and `worst.png`.

use anyhow::{Result, bail};
use candle_core::Device;
use clap::Parser;
use cola_examples::download;
use cola_examples::evaluate::args::EvaluateArgs;
use cola_examples::evaluate::open::Opened;
use cola_examples::evaluate::outcome::{FrameTable, plot, table, write_json};
use cola_examples::evaluate::pair::Listing;
use cola_examples::evaluate::pictures::Extremes;
use cola_examples::folder::RunFolder;
use cola_metrics::{Evaluator, I3d, Lpips, Protocol, Scores};
use cola_report::Progress;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Scores generated videos against real ones: PSNR, SSIM, LPIPS and FVD, each beside the protocol that it was made under.
///
/// Examples:
///   evaluate                                          the shipped generator on held-out RoboDesk clips
///   evaluate --checkpoint out/coevolve                a run of the program coevolve, told the clips' own actions
///   evaluate --checkpoint out/coevolve --actions other     the same, told other clips' actions
///   evaluate path/to/real path/to/generated           two folders of videos with the same names
///   evaluate data/real data/generated --split test --size 256x256 --lpips alex=alexnet.safetensors
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    evaluate: EvaluateArgs,
}

fn main() -> Result<()> {
    let args = Cli::parse().evaluate;
    let device = args.device.open()?;
    let evaluator = evaluator(&args, &device)?;
    let mut opened = Opened::of(&args, &device)?;
    let folder = RunFolder::create(args.out.as_deref(), "evaluate")?;
    println!("real       {}", opened.real);
    println!("generated  {}", opened.generated);
    println!("output     {folder}");

    let pairs = &mut opened.pairs;
    let Listing { names, broken: mut left_out } = pairs.listing().clone();
    let count = args.clips.unwrap_or(names.len()).min(names.len());
    for (source, reason) in &left_out {
        eprintln!("{source} is left out: {reason}");
    }
    within(&left_out, args.budget)?;
    if count == 0 {
        bail!("there is no clip to score; {}", last(&left_out));
    }
    let given = evaluator.protocol().given;
    let mut scores = Scores::new(evaluator.protocol().clone());
    let mut frames = FrameTable::create(&folder, given, args.lpips.is_some())?;
    let mut extremes = Extremes::new(args.show);
    let mut bar = Progress::start("evaluate", count as u64, 0);
    for (index, name) in names.iter().enumerate().take(count) {
        let scored = pairs.read(index).and_then(|pair| {
            let clip = evaluator.clip(&pair.real, &pair.generated)?;
            Ok((pair, clip))
        });
        match scored {
            Ok((pair, clip)) => {
                scores.add(index as u64, &clip)?;
                frames.write(name, &clip)?;
                let psnr = clip.psnr.iter().sum::<f64>() / clip.psnr.len() as f64;
                extremes.look(psnr, name, &pair);
                bar.tick(index as u64 + 1, &format!("{psnr:.1} dB"));
            }
            Err(error) => {
                bar.note(&format!("{name} is left out: {error:#}"));
                left_out.push((name.to_string(), format!("{error:#}")));
                within(&left_out, args.budget)?;
            }
        }
    }
    bar.finish("clips");
    frames.finish()?;
    if scores.clips() == 0 {
        bail!("no clip could be scored; {}", last(&left_out));
    }

    let report = scores.finish()?;
    println!("\n{}\n{report}", table(&report)?);
    if report.fvd.is_none() && !args.no_fvd {
        println!("\nFVD        needs two clips, one could be scored");
    }
    if !left_out.is_empty() {
        println!(
            "\nleft out   {}, scored {}; {folder}/report.json has the reasons",
            left_out.len(),
            scores.clips()
        );
    }
    write_json(&folder, (&opened.real, &opened.generated), &report, &left_out)?;
    plot(&report, given, &folder)?;
    let mut pictures = vec!["horizon.png"];
    pictures.extend(extremes.write(&folder)?);
    println!(
        "pictures   {}",
        pictures.iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// The networks with their weights.
fn evaluator(args: &EvaluateArgs, device: &Device) -> Result<Evaluator> {
    let protocol: Protocol = args.protocol()?;
    let hub = download::hub();
    let lpips = match &args.lpips {
        Some((_, file)) => Some(Lpips::from_pretrained(&protocol.lpips, file, &hub, device)?),
        None => None,
    };
    let i3d = match &args.i3d {
        _ if args.no_fvd => None,
        Some(file) => Some(I3d::from_pretrained(&protocol.fvd.i3d, file, &hub, device)?),
        None => Some(I3d::kinetics400(&protocol.fvd.i3d, device)?),
    };
    Ok(Evaluator::new(protocol, lpips, i3d)?)
}

/// Stops where more clips are unreadable than was allowed.
fn within(left_out: &[(String, String)], budget: usize) -> Result<()> {
    if left_out.len() <= budget {
        return Ok(());
    }
    let count = left_out.len();
    bail!(
        "{count} clips cannot be scored, --budget allows {budget}; {}\nmend them, or raise --budget",
        last(left_out)
    )
}

/// The last few reasons.
fn last(left_out: &[(String, String)]) -> String {
    if left_out.is_empty() {
        return "none was asked for".into();
    }
    let shown: Vec<String> =
        left_out.iter().rev().take(3).map(|(clip, reason)| format!("\n  {clip}: {reason}")).collect();
    format!("the last reasons:{}", shown.concat())
}
