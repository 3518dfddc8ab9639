//! What every training program does around its run.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use candle_core::Device;
use cola_coevolve::{Error, ExperimentConfig, Generator, HeldOut, Observer, Run, StoredLam};
use cola_lam::codebook_version;

use crate::args::{RunArgs, checkpoint_at};
use crate::display;
use crate::figures::write_curves;
use crate::folder::RunFolder;
use crate::gallery::Gallery;
use crate::generator;
use crate::logs::Logs;
use crate::outlook::{self, Forecast};
use crate::signals;
use crate::sources::Sources;

/// Writes the resolved configuration to standard output, every key explained.
///
/// # Errors
/// A standard output that is closed.
pub fn print_config(config: &ExperimentConfig) -> Result<()> {
    std::io::stdout().write_all(config.to_explained_toml()?.as_bytes()).context("writing the configuration")
}

/// The folder, configuration and clips of a new or resumed run. A new one is found by `--resume` from here on; before,
/// nothing was worth keeping.
///
/// # Errors
/// A folder, configuration or dataset that will not do; values that a resumed run cannot change.
pub fn open(
    args: &RunArgs,
    program: &str,
    configure: impl FnOnce() -> Result<ExperimentConfig>,
) -> Result<(RunFolder, ExperimentConfig, Sources)> {
    let (folder, config, stored) = if args.resume {
        let folder = RunFolder::open(args.out.as_deref(), program)?;
        let stored = folder.config()?;
        signals::saved();
        let config = args.applied_to(stored.clone())?;
        // What will not do is said before minutes of decoding, and before the folder is a run's.
        match folder.has_checkpoint() {
            true => Run::check_resume(&folder.checkpoints(), &config)?,
            false => config.check_resume(&stored, 0)?,
        }
        (folder, config, Some(stored))
    } else {
        let mut config = configure()?;
        resolve(&mut config)?;
        (RunFolder::create(args.out.as_deref(), program)?, config, None)
    };
    outlook::fits(&config, args.device)?; // before minutes of decoding
    let sources = Sources::of(&config)?;
    if stored.as_ref() != Some(&config) {
        folder.write_config(&config)?;
    }
    signals::saved();
    header(&folder, &config, &sources)?;
    outlook::show(&config, args.device)?;
    Ok((folder, config, sources))
}

/// Names the very checkpoints that a new run starts from, not runs that may go on meanwhile, and refuses those of other
/// models.
fn resolve(config: &mut ExperimentConfig) -> Result<()> {
    let named = |path: &Path| !path.as_os_str().is_empty();
    if named(&config.start.init_from) {
        config.start.init_from = checkpoint_at(&config.start.init_from).context("start.init_from")?;
        Run::check_init_from(&config.start.init_from, config)?;
    }
    if named(&config.start.lam_from) {
        config.start.lam_from = checkpoint_at(&config.start.lam_from).context("start.lam_from")?;
        StoredLam::check_fit(&config.start.lam_from, config)?;
    }
    if let Generator::Folder(folder) = &config.start.generator {
        generator::check(folder, config)?;
    }
    Ok(())
}

fn header(folder: &RunFolder, config: &ExperimentConfig, sources: &Sources) -> Result<()> {
    println!("plan       {}, seed {}", config.plan, config.seed);
    println!(
        "clips      {} for training, {} held out, {} frames each",
        sources.train.len(),
        sources.held_out.len(),
        config.data.frames
    );
    println!("output     {folder}");
    println!("unlike the paper (its values in brackets):");
    for line in config.deviations()? {
        println!("  - {line}");
    }
    Ok(())
}

/// The run at its newest checkpoint, or a fresh one that begins as `start` in its configuration says; `prepare` gives it
/// a generator where it does not take all weights over.
///
/// # Errors
/// A checkpoint that is damaged or of another configuration, `prepare`'s.
pub fn start(
    args: &RunArgs,
    folder: &RunFolder,
    config: &ExperimentConfig,
    device: &Device,
    prepare: impl FnOnce(&Run) -> Result<()>,
) -> Result<Run> {
    let mut run = if args.resume && folder.has_checkpoint() {
        let run = Run::resume_with(&folder.checkpoints(), config, device)?;
        for (newer, why) in run.passed_over() {
            eprintln!("passed over {}: {why}", newer.display());
        }
        run
    } else {
        let mut run = Run::new(config, device)?;
        let (init_from, lam_from) = (&config.start.init_from, &config.start.lam_from);
        if init_from.as_os_str().is_empty() {
            prepare(&run)?;
        } else {
            run.init_from(init_from)?;
            println!("weights    all of {}, no moments, no steps", init_from.display());
        }
        if !lam_from.as_os_str().is_empty() {
            run.load_lam(lam_from)?;
            println!(
                "LAM        version {}, from {}",
                codebook_version(&config.lam, &run.params().lam)?,
                lam_from.display()
            );
        }
        run
    };
    run.stop_on_collapse(args.stop_on_collapse);
    Ok(run)
}

/// Trains to the end of the plan, with logs, pictures at every evaluation, and a dashboard or, where `plain` or the
/// outputs ask for them, bars; then draws `curves.png`. A signal stops it after a step.
///
/// # Errors
/// The run's, the disk's; [`Error::Stopped`] after a signal, even where the last step was done by then.
pub fn train(
    plain: bool,
    run: &mut Run,
    folder: &RunFolder,
    sources: &Sources,
    held_out: Option<&HeldOut>,
    device: &Device,
) -> Result<()> {
    let stop = signals::training_begins();
    run.stop_when(stop.clone());
    let result = steps(plain, run, folder, sources, held_out, device, stop);
    if signals::training_ends() && result.is_ok() {
        return Err(Error::Stopped { step: run.step(), folder: folder.checkpoints() }.into());
    }
    result
}

fn steps(
    plain: bool,
    run: &mut Run,
    folder: &RunFolder,
    sources: &Sources,
    held_out: Option<&HeldOut>,
    device: &Device,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let mut logs = Logs::open(folder, run.step(), run.config())?;
    let mut forecast = Forecast::new(&run.config().plan);
    outlook::warn_unloaded(run, sources)?;
    let mut display = display::open(plain, run.config(), folder, stop)?;
    let live = display.is_live();
    let mut gallery = Gallery::new(run.config(), folder, held_out.map(|_| (sources, device)), logs.events());
    // The display is told of an evaluation before its pictures are made, and a live one tells the time left itself.
    let mut observers: Vec<&mut dyn Observer> = vec![&mut *display, &mut logs, &mut gallery];
    if !live {
        observers.push(&mut forecast);
    }
    let result = run.train(&sources.train, held_out, &folder.checkpoints(), &mut observers);
    drop(observers);
    display.finish();
    // Wanted most of all where a run was stopped over its codes.
    if matches!(result, Ok(()) | Err(Error::Collapsed { .. })) {
        write_curves(&folder.path("log.jsonl"), &run.config().plan, &folder.path("curves.png"))?;
    }
    Ok(result?)
}
