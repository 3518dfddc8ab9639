//! What learns in a phase, and how fast.

use candle_core::Var;
use cola_lam::CODEBOOK;

use crate::config::{ExperimentConfig, Rates};
use crate::plan::{PhaseKind, Trains};
use crate::system::SystemParams;

/// A variable that the current steps update.
pub(crate) struct Learner {
    pub(crate) name: String,
    pub(crate) var: Var,
    pub(crate) rate: f64,
    pub(crate) decays: bool,
    /// It belongs to the world model, of which a running average may be kept.
    pub(crate) averaged: bool,
}

impl Learner {
    /// Whether it belongs to the inverse dynamics model.
    pub(crate) fn is_idm(&self) -> bool {
        self.name.strip_prefix("lam.").is_some_and(|name| name != CODEBOOK)
    }
}

/// Everything that `trains` names, with the rates of the phase.
pub(crate) fn learners(
    config: &ExperimentConfig,
    params: &SystemParams,
    kind: PhaseKind,
    trains: Trains,
) -> Vec<Learner> {
    let rates = config.phase(kind).rates;
    params
        .vars(trains)
        .into_iter()
        .filter(|(name, _, learns)| {
            *learns && name.strip_prefix("lam.").is_none_or(|name| config.lam.learns_by_gradient(name))
        })
        .map(|(name, var, _)| {
            // Decay is for the matrices of linear layers: not for norms, biases, tables, queries or codes.
            let decays = var.rank() >= 2 && name.ends_with(".weight") && !name.ends_with(CODEBOOK);
            let averaged = SystemParams::is_world(&name);
            Learner { rate: rate_of(&rates, &name), decays, averaged, name, var }
        })
        .collect()
}

fn rate_of(rates: &Rates, name: &str) -> f64 {
    if name.strip_prefix("lam.") == Some(CODEBOOK) {
        return rates.codebook;
    }
    match name.split('.').next() {
        Some("lam") => rates.idm,
        Some("fdm") => rates.fdm,
        Some("action") => rates.action,
        _ => rates.backbone,
    }
}
