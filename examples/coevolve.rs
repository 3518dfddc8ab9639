//! The main job: a latent action model and a video world model learn together on real robot video.
//!
//!     cargo run --release --example coevolve
//!     cargo run --release --example coevolve -- --help
//!
//! Expect some minutes on two CPU cores. Phases print themselves; the folder `out/coevolve` then holds `curves.png`,
//! `rollouts.gif`, `rollouts.png`, `evaluation.json`, `log.jsonl`, `tensorboard/`, `config.toml` and `checkpoints/`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::Parser;
use cola_coevolve::{Evaluation, HeldOut, Pictures, Run, checkpoint, evaluate};
use cola_examples::args::RunArgs;
use cola_examples::figures::{score_table, write_rollouts};
use cola_examples::folder::RunFolder;
use cola_examples::output::write;
use cola_examples::sources::Sources;
use cola_examples::{generator, signals, training};
use cola_report::Progress;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains a latent action model and a video world model together and shows what came of it.
///
/// Phases: LAM learns to name what happens between two frames. WARM freezes the pre-trained video model and lets its
/// gradient teach the actions and their conditioning. E2E trains everything. Then held-out clips are imagined with their
/// true latent actions, with those of other clips and with none: if the first is not clearly better, the world model
/// ignores its actions.
///
/// Examples:
///   coevolve --scale smoke                      everything once, in seconds
///   coevolve --seed 1 --out out/seed1           another seed
///   coevolve --without-warmup                   naive joint training for comparison
///   coevolve --plan WARM800+E2E3200             no LAM phase
///   coevolve --plan LAM2K+WM2K                  the two-stage baseline: the world model learns with a frozen LAM
///   coevolve --plan E2E2K --lam-from out/lam    joint training from a LAM that is there already
///   coevolve --resume                           continue after a stop: everything is as it was
///   coevolve --resume --plan LAM2K+WARM400+E2E3K    the same run, longer
///   coevolve --init-from out/coevolve --plan E2E1K  a new run from another one's weights only
///   coevolve --scale small --print-config > my.toml     the configuration, every value explained
///   coevolve --data path/to/lerobot_dataset     your own clips
#[derive(Parser)]
#[command(verbatim_doc_comment, after_help = signals::EXIT_STATUS)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
}

fn main() -> ExitCode {
    signals::exit_status(run(&Cli::parse().run).map(|()| ExitCode::SUCCESS))
}

fn run(args: &RunArgs) -> Result<()> {
    let started = Instant::now();
    if args.print_config {
        return training::print_config(&args.experiment()?);
    }
    signals::listen()?;
    let device = args.device.open()?;
    let (folder, config, sources) = training::open(args, "coevolve", || args.experiment())?;
    let mut run = training::start(args, &folder, &config, &device, |run| {
        generator::load(args.plain, &folder, &config, run.params(), &sources, &device)
    })?;
    let held_out = HeldOut::new(&*sources.held_out, config.evaluation.curve_transitions, &config, &device)?;
    // Only to hear of held-out clips that will not do before the training, not after it.
    HeldOut::new(&*sources.long, 2, &config, &device)?;
    training::train(args.plain, &mut run, &folder, &sources, Some(&held_out), &device)?;

    let (evaluations, pictures) = evaluate_all(&run, &sources, &device)?;
    write_rollouts(&pictures, &folder.path("rollouts.gif"), &folder.path("rollouts.png"))?;
    write(&folder.path("evaluation.json"), &serde_json::to_vec_pretty(&evaluations)?)?;
    summary(&evaluations, &folder, started)
}

fn evaluate_all(run: &Run, sources: &Sources, device: &Device) -> Result<(Vec<Evaluation>, Pictures)> {
    let system = run.system()?;
    let config = run.config();
    let mut evaluations = Vec::new();
    let mut shown = None;
    for guidance in
        std::iter::once(config.evaluation.guidance).chain(config.evaluation.also_guidance.iter().copied())
    {
        let mut bar: Option<Progress> = None;
        let clips = (&*sources.held_out, &*sources.long);
        let (evaluation, pictures) =
            evaluate(&system, config, guidance, clips, device, &mut |done, total| {
                bar.get_or_insert_with(|| {
                    Progress::start(&format!("evaluate, guidance {guidance}"), total as u64, 0)
                })
                .tick(done as u64, "batches");
            })?;
        if let Some(bar) = bar {
            bar.finish("");
        }
        evaluations.push(evaluation);
        shown.get_or_insert(pictures);
    }
    Ok((evaluations, shown.context("no guidance scale to evaluate")?))
}

fn summary(evaluations: &[Evaluation], folder: &RunFolder, started: Instant) -> Result<()> {
    println!("\n{}", score_table(evaluations)?);
    if let Some(first) = evaluations.first() {
        let (codes, sensitivity) = (&first.codes, &first.sensitivity);
        println!(
            "codes       {:.0} % in use, most frequent {:.0} %, entropy {:.2} nats pooled, {:.2} whole action",
            100.0 * codes.utilization,
            100.0 * codes.max_usage,
            codes.entropy,
            first.joint.entropy
        );
        println!(
            "sensitivity {:.4} +- {:.4} (flow loss with shuffled minus true actions, {} transitions)",
            sensitivity.mean, sensitivity.standard_error, sensitivity.samples
        );
    }
    let checkpoints = checkpoint::list(&folder.checkpoints());
    let newest = checkpoints.last().map_or_else(String::new, |path| path.display().to_string());
    println!("checkpoint  {newest}");
    println!("pictures    {folder}/curves.png, {folder}/rollouts.gif, {folder}/rollouts.png");
    println!("time        {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
