//! What every training program does around its run.

use anyhow::{Result, bail};
use candle_core::Device;
use cola_coevolve::{Error, ExperimentConfig, HeldOut, Observer, Run, StoredLam};
use cola_lam::codebook_version;

use crate::args::{RunArgs, checkpoint_at};
use crate::choice::Choice;
use crate::console::Console;
use crate::figures::write_curves;
use crate::folder::RunFolder;
use crate::logs::Logs;
use crate::sources::Sources;

/// The folder, configuration and clips of a new or resumed run. A new one is found by `--resume` from here on; before,
/// nothing was worth keeping.
///
/// # Errors
/// A folder, configuration or dataset that will not do.
pub fn open(
    args: &RunArgs,
    program: &str,
    configure: impl FnOnce() -> Result<ExperimentConfig>,
) -> Result<(RunFolder, ExperimentConfig, Choice, Sources)> {
    let (folder, config) = if args.resume {
        let folder = RunFolder::open(args.out.as_deref(), program)?;
        let config = folder.config()?;
        (folder, config)
    } else {
        let config = configure()?;
        (RunFolder::create(args.out.as_deref(), program)?, config)
    };
    let choice = Choice::of(args, &folder)?;
    if let Some(from) = &choice.lam_from {
        // What will not do is said before minutes of decoding, and before the folder is a run's.
        StoredLam::check_fit(&checkpoint_at(from)?, &config)?;
    }
    let sources = choice.open(&config)?;
    if !args.resume {
        choice.write(&folder)?;
        folder.write_config(&config)?;
    }
    header(&folder, &config, &sources)?;
    Ok((folder, config, choice, sources))
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

/// The run at its newest checkpoint, or a fresh one that `prepare` and `--lam-from` have filled.
///
/// # Errors
/// A checkpoint that is damaged or of another configuration, `prepare`'s.
pub fn start(
    args: &RunArgs,
    folder: &RunFolder,
    config: &ExperimentConfig,
    choice: &Choice,
    device: &Device,
    prepare: impl FnOnce(&Run) -> Result<()>,
) -> Result<Run> {
    let mut run = if args.resume && folder.has_checkpoint() {
        let run = Run::resume(&folder.checkpoints(), device)?;
        if run.config() != config {
            bail!(
                "{folder}/config.toml differs from the checkpoint's own; put back the one in {}/step-.../config.toml",
                folder.checkpoints().display()
            );
        }
        run
    } else {
        let mut run = Run::new(config, device)?;
        prepare(&run)?;
        if let Some(from) = &choice.lam_from {
            let from = checkpoint_at(from)?;
            run.load_lam(&from)?;
            println!(
                "LAM        version {}, from {}",
                codebook_version(&config.lam, &run.params().lam)?,
                from.display()
            );
        }
        run
    };
    run.stop_on_collapse(args.stop_on_collapse);
    Ok(run)
}

/// Trains to the end of the plan with bars and logs, then draws `curves.png`.
///
/// # Errors
/// The run's, the disk's.
pub fn train(run: &mut Run, folder: &RunFolder, sources: &Sources, held_out: Option<&HeldOut>) -> Result<()> {
    let mut console = Console::new(run.config());
    let mut logs = Logs::open(folder, run.step(), run.config())?;
    let observers: &mut [&mut dyn Observer] = &mut [&mut console, &mut logs];
    let result = run.train(&sources.train, held_out, &folder.checkpoints(), observers);
    console.finish();
    // Wanted most of all where a run was stopped over its codes.
    if matches!(result, Ok(()) | Err(Error::Collapsed { .. })) {
        write_curves(&folder.path("log.jsonl"), &run.config().plan, &folder.path("curves.png"))?;
    }
    Ok(result?)
}
