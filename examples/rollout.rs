//! Imagines a video from a start image and latent actions, with a video world model.
//!
//!     cargo run --release --example rollout
//!     cargo run --release --example rollout -- --help
//!
//! Expect a few seconds: the small generator of this repository continues a held-out RoboDesk frame. The folder
//! `out/rollout` then holds `rollout.gif`, `rollout.mp4`, `rollout.png` and `rollout.json`.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use cola_examples::download;
use cola_examples::folder::RunFolder;
use cola_examples::rollout::actions::Actions;
use cola_examples::rollout::args::RolloutArgs;
use cola_examples::rollout::clock::{Clock, matmul_peak};
use cola_examples::rollout::model::Model;
use cola_examples::rollout::origin::Origin;
use cola_examples::rollout::settings::{Settings, check_frames};
use cola_examples::rollout::start::{picture, robodesk_frame, to_tensor};
use cola_examples::rollout::summary::{Measured, write_json, write_pictures};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Imagines a video: a first frame and latent actions go in, the frames that follow come out, window by window.
///
/// The model is the small generator of this repository, a checkpoint of the program coevolve, published weights with
/// their VAE, or random numbers for sizes and speed. An id on the hub, such as hpcai-tech/OpenSora-STDiT-v3 with the VAE
/// hpcai-tech/OpenSora-VAE-v1.2, takes a program built with --features hub. Published weights know nothing of actions:
/// their action conditioner is random until it is trained.
///
/// Examples:
///   rollout                                                     the shipped generator, in seconds
///   rollout --weights out/coevolve/checkpoints/step-00004000 --random-actions
///   rollout --weights path/to/run/checkpoint --actions codes.safetensors --image desk.jpg
///   rollout --weights hpcai-tech/OpenSora-STDiT-v3 --image desk.jpg --frames 17 --frames-per-latent 4
///   rollout --random --size xl                                  one full-size evaluation: time, memory, share of peak
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    rollout: RolloutArgs,
}

fn main() -> Result<()> {
    let started = Instant::now();
    let args = Cli::parse().rollout;
    check_frames(&args)?;
    let hub = download::hub();
    let device = args.device.open()?;

    let origin = Origin::of(&args, &hub)?;
    let given = match (&args.actions, origin.actions()) {
        (Some(file), Some(space)) => Some(Actions::read(file, space)?),
        (Some(_), None) => bail!("--actions: this model knows no actions ({origin}); leave the option out"),
        (None, None) if args.random_actions => {
            bail!("--random-actions: this model knows no actions ({origin}); leave the option out")
        }
        _ => None,
    };
    let settings = Settings::decide(&args, &origin, given.as_ref().map(Actions::count))?;
    let transitions = settings.frames - 1;
    let actions = match origin.actions() {
        Some(space) if args.random_actions => Some(Actions::random(space, transitions, args.seed)?),
        _ => given,
    };
    let (first, from) = match &args.image {
        Some(file) => (picture(file, settings.side)?, file.display().to_string()),
        None => (
            robodesk_frame(origin.usual.clip_options(), settings.side)?,
            "a held-out RoboDesk clip".to_string(),
        ),
    };
    let folder = RunFolder::create(args.out.as_deref(), "rollout")?;
    let (named, acts) = (origin.to_string(), actions.as_ref().map_or("none".into(), Actions::to_string));
    println!("model      {named}");
    println!("start      {from}, {0} x {0} pixels", settings.side);
    println!("actions    {acts}");
    println!("video      {} frames, {} latent", settings.frames, settings.latents);
    println!("output     {folder}");

    let model = Model::open(&origin, args.seed, &hub, &device)?;
    for part in &model.parts {
        if let Some(report) = &part.report {
            println!("\n{}\n{report}", part.name);
        }
    }
    if !model.unknown.is_empty() {
        println!("\nfields of config.json that were passed over: {}", model.unknown.join(", "));
    }

    let peak = matmul_peak(&device)?;
    let actions = actions.map(|actions| actions.embed(model.lam.as_ref(), &device)).transpose()?;
    let first = to_tensor(&first, &device)?;
    let (config, latents) = (&settings.rollout, settings.side / model.world.codec.factor());
    let evaluations = settings.evaluations();
    let clock = Clock::start(&origin.dit, latents, evaluations, &device);
    let watch = |event| clock.hear(event);
    let video = model
        .world
        .rollout_watched(&first, actions.as_ref(), transitions, &[0], config, &watch)
        .context("the rollout")?;
    let spent = clock.finish();
    // Whoever else used the machine at one time may not at another.
    let peak = peak.max(matmul_peak(&device)?);

    write_pictures(&video, config.fps, &folder)?;
    let steps = if config.sampler.guidance == 1.0 { evaluations } else { evaluations / 2 };
    let measured = Measured { spent, peak, steps, total: started.elapsed().as_secs_f64() };
    write_json(&folder, (&named, &from, &acts), &settings, &model, &measured)?;
    println!("\n{}", measured.table(&model.parts)?);
    println!("pictures   {folder}/rollout.gif, {folder}/rollout.mp4, {folder}/rollout.png");
    Ok(())
}
