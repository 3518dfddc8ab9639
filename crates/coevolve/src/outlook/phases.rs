//! The phases of a plan: what learns, and the memory of a step.

use std::fmt;

use super::activations;
use super::memory::{BASE, Memory};
use super::parts::Part;
use super::units::{Bytes, Count};
use crate::Error;
use crate::config::ExperimentConfig;
use crate::plan::{Phase, PhaseKind};

/// A phase before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseOutlook {
    /// Its kind and steps.
    pub phase: Phase,
    /// Names of the parts that learn.
    pub learn: Vec<&'static str>,
    /// Numbers in the parameters that learn.
    pub learning: u64,
    /// Names of the parts that are used and stay as they are.
    pub frozen: Vec<&'static str>,
    /// Numbers in their parameters.
    pub still: u64,
    /// What a step takes at its peak.
    pub memory: Memory,
}

/// `WARM400  400 steps; idm, codebook, action learn (1.2 M), backbone, codec stay (340 k); 310 MiB`.
impl fmt::Display for PhaseOutlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, learn, learning, frozen, still, memory } = self;
        write!(f, "{phase}: {} steps; {} learn ({})", phase.steps, learn.join(", "), Count(*learning))?;
        if !frozen.is_empty() {
            write!(f, ", {} frozen ({})", frozen.join(", "), Count(*still))?;
        }
        write!(f, "; {}", Bytes(memory.total()))
    }
}

/// Every phase of the plan. Moments start when a part first learns and stay.
pub(crate) fn phases(
    config: &ExperimentConfig,
    parts: &[Part],
    clips: u64,
) -> Result<Vec<PhaseOutlook>, Error> {
    let mut learned = vec![false; parts.len()];
    let phase = |phase: &Phase| {
        let trains = phase.kind.trains();
        let (learning, frozen): (Vec<&Part>, Vec<&Part>) =
            parts.iter().filter(|part| is_used(phase.kind, part.name)).partition(|part| part.learns(trains));
        for (learned, part) in learned.iter_mut().zip(parts) {
            *learned |= part.learns(trains);
        }
        let names = |parts: &[&Part]| parts.iter().map(|part| part.name).collect();
        let numbers = |parts: &[&Part]| parts.iter().map(|part| part.parameters).sum();
        let bytes = |parts: &[&Part]| 4 * parts.iter().map(|part| part.by_gradient).sum::<u64>();
        let known: Vec<&Part> =
            parts.iter().zip(&learned).filter(|(_, learned)| **learned).map(|(part, _)| part).collect();
        // While gradients of a matrix are added up, its sum is there twice more.
        let widest = learning.iter().map(|part| 8 * part.largest).max().unwrap_or(0);
        // The parts of a batch are added up beside the gradients of the part at hand; a record looks at the quantizer's
        // share of the inverse dynamics model's apart.
        let sums = if config.data.accumulate > 1 { 2 } else { 1 };
        let shares: Vec<&Part> = learning.iter().copied().filter(|part| part.name == "idm").collect();
        let averaged: Vec<&Part> =
            known.iter().copied().filter(|part| ["action", "backbone"].contains(&part.name)).collect();
        PhaseOutlook {
            phase: *phase,
            learn: names(&learning),
            learning: numbers(&learning),
            frozen: names(&frozen),
            still: numbers(&frozen),
            memory: Memory {
                parameters: 4 * parts.iter().map(|part| part.parameters).sum::<u64>(),
                gradients: sums * (bytes(&learning) + bytes(&shares)) + widest,
                moments: 2 * bytes(&known),
                average: if config.optimizer.average > 0.0 { bytes(&averaged) } else { 0 },
                activations: activations::step(config, phase.kind),
                batches: activations::batches(config),
                clips: clips + activations::curve(config),
                base: BASE,
            },
        }
    };
    Ok(config.plan.phases().iter().map(phase).collect())
}

/// Whether a part takes part in steps of this kind.
fn is_used(kind: PhaseKind, part: &str) -> bool {
    match part {
        "idm" | "codebook" => kind.has_actions(),
        "fdm" => kind == PhaseKind::Lam,
        "action" => kind.trains().action,
        _ => kind != PhaseKind::Lam,
    }
}
