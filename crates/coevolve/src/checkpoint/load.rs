//! Reading a checkpoint back into parameters and optimizer.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Var};
use cola_lam::codebook_version;

use super::{MEND, State, counters, shapes, verify};
use crate::Error;
use crate::config::ExperimentConfig;
use crate::optim::{AdamW, Moments};
use crate::plan::Trains;
use crate::stored_lam::check_version;
use crate::system::SystemParams;

/// The state of a checkpoint whose files can be those of its configuration: what can be said before a model is made.
pub(crate) fn examine(folder: &Path, config: &ExperimentConfig) -> Result<State, Error> {
    verify(folder)?;
    let state = State::read(folder)?;
    check_state(folder, config, &state)?;
    counters::check(folder, &state)?;
    shapes::check(folder, config)?;
    Ok(state)
}

/// Reads the tensors of a checkpoint that was [examined](examine) into parameters and optimizer.
pub(crate) fn load(
    folder: &Path,
    config: &ExperimentConfig,
    state: &State,
    params: &SystemParams,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<(), Error> {
    params.load(folder)?;
    check_version(folder, &codebook_version(&config.lam, &params.lam)?)?;
    optimizer.moments = moments(folder, config, params, state, device)?;
    Ok(())
}

/// Refuses a state of another plan or codebook.
fn check_state(folder: &Path, config: &ExperimentConfig, state: &State) -> Result<(), Error> {
    let wrong = |field: &str, found: String, expected: String| {
        let file = folder.join("state.json");
        Err(Error::State { file, field: field.into(), found, expected, mend: MEND })
    };
    if state.step > config.plan.steps() {
        return wrong("step", state.step.to_string(), format!("at most {} of the plan", config.plan.steps()));
    }
    if state.restart.idle().len() != config.lam.codes {
        let found = format!("{} counters", state.restart.idle().len());
        return wrong("restart.idle", found, format!("{} codes", config.lam.codes));
    }
    let codebook = || format!("codes of {} positions, {} entries", config.lam.tokens, config.lam.codes);
    if state.health.as_ref().is_some_and(|health| !health.fits(&config.lam)) {
        return wrong("health.stretches", "codes of another codebook".into(), codebook());
    }
    if state.window.as_ref().is_some_and(|window| !window.fits(&config.lam)) {
        return wrong("window.usage", "codes of another codebook".into(), codebook());
    }
    Ok(())
}

/// The moments of every variable that was updated.
fn moments(
    folder: &Path,
    config: &ExperimentConfig,
    params: &SystemParams,
    state: &State,
    device: &Device,
) -> Result<BTreeMap<String, Moments>, Error> {
    let file = folder.join("optimizer.safetensors");
    let tensors = cola_nn::read_tensors(&file)?;
    let known: BTreeMap<String, Var> =
        params.vars(Trains::default()).into_iter().map(|(name, var, _)| (name, var)).collect();
    let mut moments = BTreeMap::new();
    for (name, &steps) in &state.updates {
        let Some(var) = known.get(name) else {
            return Err(Error::State {
                file: folder.join("state.json"),
                field: "updates".into(),
                found: format!("variable `{name}`"),
                expected: "variables of this model only".into(),
                mend: MEND,
            });
        };
        let read = |kind: &str| -> Result<Var, Error> {
            match tensors.get(&format!("{kind}.{name}")) {
                Some(tensor) if tensor.shape() == var.shape() && tensor.dtype() == var.dtype() => {
                    Ok(Var::from_tensor(&tensor.to_device(device)?)?)
                }
                other => Err(Error::State {
                    file: file.clone(),
                    field: format!("{kind}.{name}"),
                    found: other.map_or("absent".into(), |tensor| {
                        format!("{:?} {:?}", tensor.dtype(), tensor.dims())
                    }),
                    expected: format!("{:?} {:?}", var.dtype(), var.dims()),
                    mend: MEND,
                }),
            }
        };
        let averaged = config.optimizer.average > 0.0 && SystemParams::is_world(name);
        let average = averaged.then(|| read("average")).transpose()?;
        let (first, second) = (read("first")?, read("second")?);
        moments.insert(name.clone(), Moments { first, second, average, steps });
    }
    Ok(moments)
}
