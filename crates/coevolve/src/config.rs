//! What describes an experiment; its presets, its TOML file, its checks and what is unlike the paper stand beside it.

mod check;
mod data;
mod deviations;
mod explained;
mod latents;
mod nearest;
mod paths;
mod presets;
mod resumed;
mod start;
mod text;
mod tree;

use cola_dit_world::{CodecConfig, DitConfig, HistoryUse, RolloutConfig};
use cola_flow::{SamplerConfig, TimeConfig};
use cola_lam::LamConfig;
use cola_nn::Compute;
pub use data::DataConfig;
pub use latents::LatentsConfig;
pub use resumed::Fixed;
use serde::{Deserialize, Serialize};
pub use start::{Generator, StartConfig};

use crate::divergence::DivergenceConfig;
use crate::health::HealthConfig;
use crate::optim::OptimizerConfig;
use crate::plan::{PhaseKind, Plan};

/// Batches from which the first codes and the codec's statistics are taken.
pub(crate) const FIRST_BATCHES: u64 = 8;

/// Everything that decides a run's numbers. Stored beside every checkpoint as `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Seeds initial values, sample order, crops, noise, times and dropped actions.
    pub seed: u64,
    /// What is trained when, in the paper's notation.
    pub plan: Plan,
    /// How the stand-in for the pre-trained generator is made when none is given.
    pub pretrain: Plan,
    /// What the run takes over from others before its first step.
    #[serde(default)]
    pub start: StartConfig,
    /// Clips and views.
    pub data: DataConfig,
    /// Latents of small configurations.
    pub codec: CodecConfig,
    /// Latents of the video VAE, and where they are kept.
    #[serde(default)]
    pub latents: LatentsConfig,
    /// Latent action model.
    pub lam: LamConfig,
    /// World model.
    pub dit: DitConfig,
    /// Flow matching.
    pub flow: FlowConfig,
    /// AdamW.
    pub optimizer: OptimizerConfig,
    /// Learning rates of each kind of phase.
    pub phases: PhasesConfig,
    /// What is done against codebook collapse; all off in the paper.
    pub remedies: Remedies,
    /// How often things are written.
    pub schedule: ScheduleConfig,
    /// What is measured on held-out clips.
    pub evaluation: EvaluationConfig,
    /// What is reported as unhealthy.
    #[serde(default)]
    pub health: HealthConfig,
    /// What is done about a loss that is not a number.
    #[serde(default)]
    pub divergence: DivergenceConfig,
    /// Type of the activations and whether they are recomputed; changes speed and memory, not the method.
    #[serde(default)]
    pub compute: Compute,
}

/// Flow matching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowConfig {
    /// Training times and the sampler's grid.
    pub time: TimeConfig,
    /// Probability that a transition's action is dropped (paper: 0.1).
    pub drop: f64,
    /// Clean history: each clip has between `given_min` and `given_max` given latent frames, drawn evenly.
    pub given_min: usize,
    /// See `given_min`.
    pub given_max: usize,
}

/// Learning rates of the parts, before warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Inverse dynamics model.
    pub idm: f64,
    /// Codebook.
    pub codebook: f64,
    /// Forward dynamics model.
    pub fdm: f64,
    /// Action conditioner.
    pub action: f64,
    /// Video transformer.
    pub backbone: f64,
}

/// One kind of phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseConfig {
    /// Learning rates.
    pub rates: Rates,
    /// The rates fall along a half cosine to this fraction over the phase; 1 keeps them constant (paper).
    pub final_rate: f64,
}

impl PhaseConfig {
    /// What the rates are multiplied by at step `within` of a phase of `steps`.
    pub(crate) fn factor(&self, within: u64, steps: u64) -> f64 {
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * within as f64 / steps as f64).cos());
        self.final_rate + (1.0 - self.final_rate) * fall
    }
}

/// Every kind of phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhasesConfig {
    /// `PRE`.
    pub pretrain: PhaseConfig,
    /// `LAM`.
    pub lam: PhaseConfig,
    /// `WARM`.
    pub warm: PhaseConfig,
    /// `E2E`.
    pub joint: PhaseConfig,
    /// `WM`.
    pub world: PhaseConfig,
}

/// Deviations from the paper that keep small codebooks alive. Printed in the run header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedies {
    /// A code unused for so many steps of a `LAM` phase is replaced by an encoder output; 0 switches it off.
    pub restart_after: u32,
    /// Restarts stop at this step of the phase, so that the codes can settle.
    pub restart_until: u64,
    /// Weight of moving patches in the `LAM` phase's loss, see [`cola_lam::Fdm::loss`]; 0 is the plain mean.
    pub motion_weight: f64,
    /// Inverse dynamics model and codebook hold still for so many first steps with a world model, while the conditioner
    /// learns to read them.
    pub hold_lam: u64,
}

/// How often things are written, in optimizer steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Log records; losses and codebook usage are those of the steps since the last one.
    pub log_every: u64,
    /// Checkpoints; a multiple of `log_every`.
    pub checkpoint_every: u64,
    /// Checkpoints kept.
    pub keep: usize,
    /// Action sensitivity on held-out clips; a multiple of `log_every`, 0 switches it off.
    pub sensitivity_every: u64,
    /// Scores and pictures of held-out clips during training; a multiple of `log_every`, 0 leaves them to the end.
    #[serde(default)]
    pub evaluate_every: u64,
}

/// What is measured on held-out clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Split of the dataset.
    pub split: String,
    /// Transitions for the sensitivity curve during training.
    pub curve_transitions: usize,
    /// Transitions for the final one-step figures; the split's number at most.
    pub transitions: usize,
    /// Episodes rolled out from their first frame; the split's number at most.
    pub episodes: usize,
    /// Transitions of a rollout.
    pub horizon: usize,
    /// Euler steps (paper: 10).
    pub steps: usize,
    /// Guidance of the headline figures and pictures (paper: 4.0; small models do better near 1).
    pub guidance: f64,
    /// Further guidance scales that are reported.
    pub also_guidance: Vec<f64>,
    /// Clips evaluated at once.
    pub batch: usize,
}

impl ExperimentConfig {
    /// The learning rates of a kind of phase.
    pub fn phase(&self, kind: PhaseKind) -> &PhaseConfig {
        match kind {
            PhaseKind::Pretrain => &self.phases.pretrain,
            PhaseKind::Lam => &self.phases.lam,
            PhaseKind::Warm => &self.phases.warm,
            PhaseKind::Joint => &self.phases.joint,
            PhaseKind::World => &self.phases.world,
        }
    }

    /// The key of a kind of phase below `phases`.
    pub fn phase_key(kind: PhaseKind) -> &'static str {
        match kind {
            PhaseKind::Pretrain => "pretrain",
            PhaseKind::Lam => "lam",
            PhaseKind::Warm => "warm",
            PhaseKind::Joint => "joint",
            PhaseKind::World => "world",
        }
    }

    /// How clips are continued: windows as trained, the evaluation's Euler steps, the run's seed.
    pub fn rollout(&self, guidance: f64) -> RolloutConfig {
        RolloutConfig {
            sampler: SamplerConfig { steps: self.evaluation.steps, guidance },
            time: self.flow.time,
            window: self.latent_frames(),
            context: self.flow.given_max,
            fps: self.data.fps,
            seed: self.seed,
            history: HistoryUse::WhenExact,
        }
    }
}
