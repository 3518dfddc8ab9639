//! What a run will take, told before its first step: parameters of each part and phase, memory, steps.

mod activations;
mod first;
mod layers;
mod machine;
mod memory;
mod parts;
mod phases;
mod refusal;
mod units;

use std::fmt;

pub use first::FirstLosses;
pub use machine::Machine;
pub use memory::Memory;
pub use parts::Part;
pub use phases::PhaseOutlook;
pub use refusal::Refusal;
pub use units::{Bytes, Count};

use crate::Error;
use crate::config::{ExperimentConfig, Generator};
use crate::plan::{PhaseKind, Plan};
use layers::slack;
use parts::{largest_set, parts};

/// A time of the run that is not a training step, and the memory that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is done, such as `evaluation`.
    pub name: &'static str,
    /// What it takes at its peak.
    pub memory: Memory,
}

/// What a run will take: a pure function of its configuration, and of how many bytes of frames stay in memory.
///
/// Nothing of the model's size is allocated to find it. The memory is that of a CPU run, or of what a run asks of a
/// device beside its driver, a video VAE not counted; it is an estimate, held to a fifth of what runs of small models were measured to take.
///
/// ```
/// use cola_coevolve::{ExperimentConfig, Outlook};
///
/// # fn main() -> Result<(), cola_coevolve::Error> {
/// let outlook = Outlook::of(&ExperimentConfig::paper(), 0)?;
/// assert_eq!(outlook.part("action").map(|part| part.parameters), Some(74_451_456));
/// println!("{outlook}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The parts of the system with their numbers of parameters.
    pub parts: Vec<Part>,
    /// The phases of the plan, in order.
    pub phases: Vec<PhaseOutlook>,
    /// What comes between and behind the phases' steps.
    pub stages: Vec<Stage>,
}

impl Outlook {
    /// Bytes that a program takes for itself, before and beside anything that a configuration asks for.
    pub const PROGRAM: u64 = memory::BASE;

    /// Of a configuration, with `clips` bytes of decoded frames in memory; 0 where frames are drawn or streamed.
    ///
    /// # Errors
    /// Sizes that the models refuse.
    pub fn of(config: &ExperimentConfig, clips: u64) -> Result<Self, Error> {
        let parts = parts(config)?;
        let phases = phases::phases(config, &parts, clips)?;
        // What stays between the steps, after the last phase, when all moments are there.
        let between = phases.last().map_or_else(Memory::default, |last| Memory {
            gradients: 0,
            activations: 0,
            ..last.memory
        });
        // A file is put together in memory; that of the optimizer holds moments and average.
        let file = (between.moments + between.average).max(largest_set(&parts));
        let mut stages = vec![
            Stage { name: "writing a checkpoint", memory: Memory { activations: slack(file), ..between } },
            Stage {
                name: "evaluation",
                memory: Memory {
                    activations: activations::evaluation(config),
                    clips: between.clips + activations::held_out(config),
                    batches: 0,
                    // The modules are built over a copy of it.
                    average: 2 * between.average,
                    ..between
                },
            },
        ];
        stages.extend(generator(config, &parts, clips)?);
        Ok(Self { parts, phases, stages })
    }

    /// A part by name: `idm`, `codebook`, `fdm`, `action`, `backbone` or `codec`.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Parameters of all parts.
    pub fn parameters(&self) -> u64 {
        self.parts.iter().map(|part| part.parameters).sum()
    }

    /// The time at which the run takes most, and what it takes then.
    pub fn peak(&self) -> (String, Memory) {
        let phases = self.phases.iter().map(|phase| (phase.phase.to_string(), phase.memory));
        let stages = self.stages.iter().map(|stage| (stage.name.to_owned(), stage.memory));
        phases.chain(stages).max_by_key(|(_, memory)| memory.total()).unwrap_or_default()
    }

    /// Refuses a run that the machine cannot hold, and says which setting helps most. A machine that does not tell what
    /// it has refuses nothing.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn check(&self, config: &ExperimentConfig, machine: &Machine, clips: u64) -> Result<(), Error> {
        let (when, memory) = self.peak();
        match machine.available {
            Some(available) if memory.total() > available => {
                Err(Error::Memory(Box::new(Refusal::of(config, when, memory, available, clips)?)))
            }
            _ => Ok(()),
        }
    }
}

/// Making the pre-trained generator beside a run that does not bring one: the run's own parameters wait meanwhile, and the
/// statistics of the codec are found first.
fn generator(config: &ExperimentConfig, parts: &[Part], clips: u64) -> Result<Option<Stage>, Error> {
    let worlds = config.plan.phases().iter().any(|phase| phase.kind.trains().action);
    if !worlds
        || config.plan.has(PhaseKind::Pretrain)
        || matches!(config.start.generator, Generator::Folder(_))
    {
        return Ok(None);
    }
    let plan = Plan::of(&[(PhaseKind::Pretrain, 1)]);
    let phases = phases::phases(&ExperimentConfig { plan, ..config.clone() }, parts, clips)?;
    Ok(phases.first().map(|phase| {
        let step = Memory { parameters: 2 * phase.memory.parameters, ..phase.memory };
        let between = Memory { gradients: 0, ..step };
        let saving = Memory { activations: slack(step.moments + step.average), ..between };
        let first = Memory {
            activations: activations::codec_statistics(config),
            moments: 0,
            average: 0,
            batches: 0,
            ..between
        };
        let memory = [saving, first]
            .into_iter()
            .fold(step, |most, memory| if memory.total() > most.total() { memory } else { most });
        Stage { name: "making the generator", memory }
    }))
}

/// A table of parts, a line for each phase with what learns in it, and the memory at the peak.
impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.parts.iter().map(|part| format!("{} {}", part.name, Count(part.parameters))).collect();
        writeln!(f, "parameters {}: {}", Count(self.parameters()), parts.join(", "))?;
        for phase in &self.phases {
            writeln!(f, "phase      {phase}")?;
        }
        let (when, memory) = self.peak();
        write!(f, "memory     about {} at the most, in {when}: {memory}", Bytes(memory.total()))
    }
}
