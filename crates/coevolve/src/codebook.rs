//! What happens to the codebook outside the gradient: first rows, moving average, dead codes.

use candle_core::{Device, Tensor};
use cola_data::Loader;
use cola_lam::{CODEBOOK, CodeInit, CodeRestart, Codebook, rows_from_tokens};
use cola_random::stream;

use crate::Error;
use crate::config::{ExperimentConfig, FIRST_BATCHES};
use crate::optim::AdamW;
use crate::plan::Trains;
use crate::system::{System, SystemParams};

/// The codebook's first rows, from encoder outputs of the first batches, if the configuration wants them so. Does
/// nothing once the latent action model has learned; until then, repeating this gives the same rows.
pub(crate) fn begin(
    config: &ExperimentConfig,
    params: &SystemParams,
    optimizer: &AdamW,
    loader: &Loader,
    device: &Device,
) -> Result<(), Error> {
    // Any of its variables tells: a codebook that follows a moving average is never updated by the optimizer.
    if config.lam.code_init != CodeInit::Data || optimizer.has_updated("lam.") {
        return Ok(());
    }
    let Some(codebook) = Codebook::open(&config.lam, &params.lam)? else { return Ok(()) };
    let system = System::enter(params, config, Trains::default())?;
    let tokens = (0..FIRST_BATCHES)
        .map(|step| Ok(system.lam.tokens(&loader.batch(step, true, device)?.lam_view)?))
        .collect::<Result<Vec<Tensor>, Error>>()?;
    let mut rng = stream(config.seed, "first-codes", 0, 0);
    let rows = rows_from_tokens(&Tensor::cat(&tokens, 0)?, config.lam.codes, &mut rng)?;
    let all: Vec<usize> = (0..config.lam.codes).collect();
    Ok(codebook.replace(&all, &rows)?)
}

/// Lets a codebook with a moving average take in a step of the latent action model's training.
pub(crate) fn follow(
    config: &ExperimentConfig,
    params: &SystemParams,
    tokens: &Tensor,
    codes: &Tensor,
) -> Result<(), Error> {
    match Codebook::open(&config.lam, &params.lam)? {
        Some(codebook) => Ok(codebook.follow(tokens, codes)?),
        None => Ok(()),
    }
}

/// Replaces the codes that nobody used for too long by tokens of this step and clears their moments.
pub(crate) fn restart(
    config: &ExperimentConfig,
    params: &SystemParams,
    optimizer: &mut AdamW,
    idle: &mut CodeRestart,
    step: u64,
    (tokens, codes): (&Tensor, &Tensor),
) -> Result<(), Error> {
    let mut dead = idle.observe(codes)?;
    // A small batch has fewer tokens than there may be dead codes; the others come due again.
    dead.truncate(tokens.elem_count() / config.lam.code_dim);
    if dead.is_empty() {
        return Ok(());
    }
    let mut rng = stream(config.seed, "restart", step, 0);
    let rows = rows_from_tokens(tokens, dead.len(), &mut rng)?;
    if let Some(codebook) = Codebook::open(&config.lam, &params.lam)? {
        codebook.replace(&dead, &rows)?;
    }
    Ok(optimizer.clear_rows(&format!("lam.{CODEBOOK}"), &dead)?)
}
