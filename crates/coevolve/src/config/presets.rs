//! Configurations by name.

use cola_data::{CropConfig, Region};
use cola_dit_world::{ActionConfig, CodecConfig, DitConfig};
use cola_flow::{Shift, TimeConfig, TimeDistribution};
use cola_lam::LamConfig;
use cola_nn::{Compute, Precision};

use super::{
    DataConfig, EvaluationConfig, ExperimentConfig, FlowConfig, Generator, LatentsConfig, PhaseConfig,
    PhasesConfig, Rates, Remedies, ScheduleConfig, StartConfig,
};
use crate::Error;
use crate::divergence::DivergenceConfig;
use crate::health::HealthConfig;
use crate::optim::OptimizerConfig;
use crate::plan::{PhaseKind, Plan};

impl ExperimentConfig {
    /// Names of the presets.
    pub const PRESETS: [&'static str; 5] = ["tiny", "small", "paper", "smoke", "toy"];

    /// A preset by name.
    ///
    /// # Errors
    /// A name that is not in [`ExperimentConfig::PRESETS`].
    pub fn preset(name: &str) -> Result<Self, Error> {
        match name {
            "tiny" => Ok(Self::tiny()),
            "small" => Ok(Self::small()),
            "smoke" => Ok(Self::smoke()),
            "toy" => Ok(Self::toy()),
            "paper" => Ok(Self::paper()),
            _ => Err(Error::Config {
                origin: format!("preset `{name}`"),
                reason: format!("there is no such preset; expected one of {}", Self::PRESETS.join(", ")),
            }),
        }
    }

    /// RoboDesk on two CPU cores in minutes. What differs from the paper: small models and pictures, a fixed cut-out of
    /// the frame, two-frame clips, fixed timestep shift, a LAM phase before the warm-up, and the remedies.
    pub fn tiny() -> Self {
        let joint = Rates { idm: 3e-4, codebook: 3e-4, fdm: 0.0, action: 5e-4, backbone: 5e-4 };
        let start = Rates { idm: 1e-3, codebook: 1e-3, fdm: 1e-3, action: 0.0, backbone: 1e-3 };
        Self {
            seed: 0,
            plan: Plan::of(&[(PhaseKind::Lam, 2000), (PhaseKind::Warm, 400), (PhaseKind::Joint, 1600)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 3000)]),
            start: StartConfig::default(),
            data: DataConfig {
                frames: 2,
                region: Region { top: 0.375, left: 0.15625, height: 0.625, width: 0.625 },
                store: 80,
                world_size: 32,
                batch: 32,
                crop: CropConfig { area: [0.8, 1.0], aspect: [0.9, 1.0 / 0.9] },
                fps: 1.0,
                ..DataConfig::default()
            },
            codec: CodecConfig { factor: 4, whiten: 0.5 },
            latents: LatentsConfig::default(),
            lam: LamConfig::tiny(),
            dit: DitConfig::tiny(),
            flow: FlowConfig {
                time: TimeConfig { distribution: TimeDistribution::LogitNormal, shift: Shift::Fixed(6.0) },
                drop: 0.1,
                given_min: 1,
                given_max: 1,
            },
            optimizer: OptimizerConfig { warmup: 100, ..OptimizerConfig::default() },
            phases: PhasesConfig {
                pretrain: PhaseConfig { rates: start, final_rate: 0.1 },
                lam: PhaseConfig { rates: start, final_rate: 1.0 },
                warm: PhaseConfig { rates: joint, final_rate: 1.0 },
                joint: PhaseConfig { rates: joint, final_rate: 0.1 },
                world: PhaseConfig { rates: joint, final_rate: 0.1 },
            },
            remedies: Remedies { restart_after: 50, restart_until: 1000, motion_weight: 2.0, hold_lam: 200 },
            schedule: ScheduleConfig {
                log_every: 25,
                checkpoint_every: 200,
                keep: 2,
                sensitivity_every: 100,
                evaluate_every: 500,
            },
            evaluation: EvaluationConfig {
                split: "valid".into(),
                curve_transitions: 200,
                transitions: 600,
                episodes: 40,
                horizon: 8,
                steps: 10,
                guidance: 1.0,
                also_guidance: vec![4.0],
                batch: 100,
            },
            // A small codebook wakes between steps 500 and 750 of a LAM phase at the latest.
            health: HealthConfig::default(),
            divergence: DivergenceConfig::default(),
            compute: Compute::default(),
        }
    }

    /// RoboDesk as in the tiny preset, with models of about four times the parameters: twice as wide, the latent action
    /// model a layer deeper. The run makes its own generator. About 25 minutes on two CPU cores in all.
    pub fn small() -> Self {
        let tiny = Self::tiny();
        let action = ActionConfig { width: 192, heads: 6, ..tiny.dit.action };
        Self {
            plan: Plan::of(&[(PhaseKind::Lam, 1500), (PhaseKind::Warm, 400), (PhaseKind::Joint, 1600)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 1500)]),
            start: StartConfig { generator: Generator::Make, ..StartConfig::default() },
            lam: LamConfig { dim: 128, layers: 3, fdm_layers: 3, ..tiny.lam },
            dit: DitConfig { hidden_size: 192, num_heads: 6, action, ..tiny.dit },
            ..tiny
        }
    }

    /// The tiny preset cut down until everything has run once in seconds; its figures mean nothing.
    pub fn smoke() -> Self {
        let tiny = Self::tiny();
        Self {
            plan: Plan::of(&[(PhaseKind::Lam, 20), (PhaseKind::Warm, 20), (PhaseKind::Joint, 20)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 20)]),
            remedies: Remedies { hold_lam: 5, ..tiny.remedies },
            schedule: ScheduleConfig {
                log_every: 5,
                checkpoint_every: 10,
                keep: 2,
                sensitivity_every: 10,
                evaluate_every: 20,
            },
            evaluation: EvaluationConfig {
                curve_transitions: 16,
                transitions: 32,
                episodes: 4,
                horizon: 4,
                ..tiny.evaluation
            },
            ..tiny
        }
    }

    /// One square moved by a random action, 16 pixels: for tests, where control is known to appear in minutes.
    pub fn toy() -> Self {
        let tiny = Self::tiny();
        Self {
            plan: Plan::of(&[(PhaseKind::Lam, 1000), (PhaseKind::Warm, 600), (PhaseKind::Joint, 650)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 3000)]),
            data: DataConfig {
                drawn: true,
                region: Region::FULL,
                store: 16,
                world_size: 16,
                crop: CropConfig { area: [1.0, 1.0], aspect: [1.0, 1.0] },
                ..tiny.data
            },
            codec: CodecConfig { factor: 4, whiten: 0.0 },
            lam: LamConfig { image: 16, patch: 4, commitment_weight: 0.01, ..tiny.lam },
            dit: DitConfig { in_channels: 48, hidden_size: 64, input_sq_size: 16, ..tiny.dit },
            evaluation: EvaluationConfig { horizon: 1, ..tiny.evaluation },
            ..tiny
        }
    }

    /// The paper's sizes and recipe, literally; where it is silent, this project's choices. Only the latents are a stand-in
    /// unless `latents.vae` names the video VAE: 192 channels of the space-to-depth codec. Not for a CPU.
    pub fn paper() -> Self {
        let rate = 7.5e-5;
        let all = PhaseConfig {
            rates: Rates { idm: rate, codebook: rate, fdm: rate, action: rate, backbone: rate },
            final_rate: 1.0,
        };
        let tiny = Self::tiny();
        Self {
            seed: 0,
            plan: Plan::of(&[(PhaseKind::Warm, 8000), (PhaseKind::Joint, 52000)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 1)]),
            start: StartConfig::default(),
            data: DataConfig {
                frames: 8,
                store: 512,
                world_size: 256,
                batch: 128,
                crop: CropConfig { area: [0.8, 1.0], aspect: [0.75, 4.0 / 3.0] },
                fps: 4.0,
                ..DataConfig::default()
            },
            codec: CodecConfig { factor: 8, whiten: 0.5 },
            latents: LatentsConfig::default(),
            lam: LamConfig::paper(),
            dit: DitConfig { in_channels: 192, ..DitConfig::paper() },
            flow: FlowConfig { time: TimeConfig::open_sora_v1_2(), drop: 0.1, given_min: 1, given_max: 1 },
            optimizer: OptimizerConfig::default(),
            phases: PhasesConfig { pretrain: all, lam: all, warm: all, joint: all, world: all },
            remedies: Remedies { restart_after: 0, restart_until: 0, motion_weight: 0.0, hold_lam: 0 },
            schedule: ScheduleConfig {
                log_every: 50,
                checkpoint_every: 1000,
                keep: 2,
                sensitivity_every: 1000,
                evaluate_every: 5000,
            },
            evaluation: EvaluationConfig {
                guidance: 4.0,
                also_guidance: vec![1.0],
                horizon: 7,
                ..tiny.evaluation
            },
            // The warm-up of the rates is 2000 steps long.
            health: HealthConfig { grace: 2000, ..HealthConfig::default() },
            divergence: DivergenceConfig::default(),
            // On a GPU of 80 GB.
            compute: Compute { dtype: Precision::Bf16, recompute: true },
        }
    }
}
