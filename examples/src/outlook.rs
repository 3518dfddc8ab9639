//! What a training program says before its first step, and what it refuses to begin.

mod clock;

use std::path::Path;

use anyhow::Result;
use cola_coevolve::{Bytes, ExperimentConfig, Machine, Outlook, Run};
use cola_nn::{LoadReport, Params};

pub use clock::Forecast;

use crate::args::DeviceName;
use crate::sources::Sources;

/// What there is to train with: a GPU does not tell what it has, so nothing is refused there.
fn machine(device: DeviceName) -> Machine {
    let here = Machine::here();
    if device == DeviceName::Cpu { here } else { Machine { available: None, ..here } }
}

/// Refuses what cannot fit however few frames the dataset has: before it is decoded, which may take minutes.
///
/// # Errors
/// A need beyond what the machine has, with the settings that lower it.
pub fn fits(config: &ExperimentConfig, device: DeviceName) -> Result<()> {
    Ok(Outlook::of(config, 0)?.check(config, &machine(device), 0)?)
}

/// Parts, phases and memory of a run whose clips are there; refuses what cannot fit.
///
/// # Errors
/// As [`fits`].
pub fn show(config: &ExperimentConfig, device: DeviceName) -> Result<()> {
    let machine = machine(device);
    // What the process holds by now is the program, which the estimate counts, and the frames of its clips.
    let clips = machine.resident.unwrap_or(0).saturating_sub(Outlook::PROGRAM);
    let outlook = Outlook::of(config, clips)?;
    println!("{outlook}");
    match machine.available {
        Some(available) => println!("available  {}", Bytes(available)),
        None => println!("available  unknown: nothing here tells, so nothing is refused"),
    }
    Ok(outlook.check(config, &machine, clips)?)
}

/// One line for a set of parameters of which everything was read from one file.
pub fn show_loaded(set: &str, params: &Params, file: &Path) {
    let used = params.vars().into_iter().map(|(name, _)| name).collect();
    println!("{}", loaded(set, &LoadReport { used, ..LoadReport::default() }, file));
}

/// One line for what a load by name did: `backbone  70 of 76 tensors from FILE; 6 made anew, first ...`.
pub fn loaded(set: &str, report: &LoadReport, file: &Path) -> String {
    let LoadReport { used, created, left } = report;
    let named = |names: &[String], what: &str| {
        names.first().map_or(String::new(), |first| format!("; {} {what}, first {first}", names.len()))
    };
    format!(
        "{set:<10} {} of {} tensors from {}{}{}",
        used.len(),
        used.len() + created.len(),
        file.display(),
        named(created, "made anew"),
        named(left, "of the file not used")
    )
}

/// Warns, before the first step of a run, of a generator whose weights look unloaded.
///
/// # Errors
/// The clips'.
pub fn warn_unloaded(run: &Run, sources: &Sources) -> Result<()> {
    if run.step() > 0 {
        return Ok(());
    }
    if let Some(warning) = run.first_losses(&sources.train)?.and_then(|losses| losses.warning()) {
        eprintln!("warning    {warning}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cola_nn::LoadReport;

    use super::loaded;

    #[test]
    fn a_load_tells_what_was_used_made_and_left() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut report = LoadReport { used: names(&["a", "b"]), ..LoadReport::default() };
        let file = Path::new("x.safetensors");
        assert_eq!(loaded("lam", &report, file), "lam        2 of 2 tensors from x.safetensors");
        (report.created, report.left) = (names(&["c"]), names(&["y", "z"]));
        assert_eq!(
            loaded("lam", &report, file),
            "lam        2 of 3 tensors from x.safetensors; 1 made anew, first c; 2 of the file not used, first y"
        );
    }
}
