//! The parts of the system and how many parameters each has, asked of the models themselves.

use std::collections::BTreeMap;

use candle_core::Shape;
use cola_dit_world::{ActionConditioner, DitWorld, SpaceToDepth};
use cola_lam::{CODEBOOK, Fdm, LatentActionModel};
use cola_nn::blueprint;

use crate::Error;
use crate::config::ExperimentConfig;
use crate::plan::Trains;

/// The transformer's rotary frequencies: a builder that has everything is asked for them, a run's parameters have none.
const FREQUENCIES: &str = "rope.freqs";

/// One part of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `idm`, `codebook`, `fdm`, `action`, `backbone` or `codec`.
    pub name: &'static str,
    /// Numbers in its parameters.
    pub parameters: u64,
    /// Its tensors.
    pub tensors: usize,
    /// Numbers of those parameters that a gradient moves when the part learns; fewer than `parameters` where codes follow
    /// a moving average.
    pub by_gradient: u64,
    /// Numbers in the largest of its tensors.
    pub largest: u64,
}

impl Part {
    fn of(
        name: &'static str,
        shapes: &BTreeMap<String, Shape>,
        keep: impl Fn(&str) -> bool,
        by_gradient: impl Fn(&str) -> bool,
    ) -> Self {
        let own = || shapes.iter().filter(|(name, _)| keep(name));
        let count = |shape: &Shape| shape.elem_count() as u64;
        Self {
            name,
            parameters: own().map(|(_, shape)| count(shape)).sum(),
            tensors: own().count(),
            by_gradient: own().filter(|(name, _)| by_gradient(name)).map(|(_, shape)| count(shape)).sum(),
            largest: own().map(|(_, shape)| count(shape)).max().unwrap_or(0),
        }
    }

    /// Whether it learns where these sets do.
    pub(crate) fn learns(&self, trains: Trains) -> bool {
        match self.name {
            "idm" | "codebook" => trains.lam,
            "fdm" => trains.fdm,
            "action" => trains.action,
            "backbone" => trains.backbone,
            _ => false,
        }
    }
}

/// All parts of a configuration's system.
pub(crate) fn parts(config: &ExperimentConfig) -> Result<Vec<Part>, Error> {
    let lam = blueprint(|vb| LatentActionModel::new(&config.lam, vb))?;
    let fdm = blueprint(|vb| Fdm::new(&config.lam, vb))?;
    let action = blueprint(|vb| ActionConditioner::new(&config.dit, vb))?;
    let backbone = blueprint(|vb| DitWorld::new(&config.dit, vb))?;
    let codec = blueprint(|vb| SpaceToDepth::new(&config.codec, vb))?;
    let is_code = |name: &str| name == CODEBOOK || !config.lam.learns_by_gradient(name);
    let (all, none) = (|_: &str| true, |_: &str| false);
    Ok(vec![
        Part::of("idm", &lam, |name| !is_code(name), all),
        Part::of("codebook", &lam, is_code, |name| config.lam.learns_by_gradient(name)),
        Part::of("fdm", &fdm, all, all),
        Part::of("action", &action, all, all),
        Part::of("backbone", &backbone, |name| name != FREQUENCIES, all),
        Part::of("codec", &codec, all, none),
    ])
}

/// Bytes of the largest set that is written to a file of its own.
pub(crate) fn largest_set(parts: &[Part]) -> u64 {
    4 * parts.iter().map(|part| part.parameters).max().unwrap_or(0)
}
