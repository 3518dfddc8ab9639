//! One TOML file describes an experiment; presets, overrides, checks.

use std::path::Path;

use cola_data::{ClipOptions, CropConfig, LoaderConfig, Region};
use cola_dit_world::{CodecConfig, DitConfig};
use cola_flow::{Shift, TimeConfig, TimeDistribution};
use cola_lam::LamConfig;
use serde::{Deserialize, Serialize};

use crate::Error;
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
    /// Clips and views.
    pub data: DataConfig,
    /// Latents of small configurations.
    pub codec: CodecConfig,
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
}

/// Clips and their two views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Clips of the drawn world instead of a dataset; a dataset named on the command line still wins.
    pub drawn: bool,
    /// Video key of a dataset with several cameras; empty takes the only or the alphabetically first one.
    pub camera: String,
    /// Frames of a training clip, at least 2.
    pub frames: usize,
    /// Stored frames from one clip frame to the next.
    pub frame_stride: usize,
    /// The part of each frame that is used, as fractions.
    pub region: Region,
    /// Largest height and largest width in pixels at which decoded frames are kept in memory.
    pub store: usize,
    /// Side in pixels of the world model's view.
    pub world_size: usize,
    /// Clips of a batch.
    pub batch: usize,
    /// The random crop.
    pub crop: CropConfig,
    /// Frames per second that the world model is told.
    pub fps: f64,
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
    /// Names of the presets.
    pub const PRESETS: [&'static str; 4] = ["tiny", "smoke", "toy", "paper"];

    /// A preset by name.
    ///
    /// # Errors
    /// A name that is not in [`ExperimentConfig::PRESETS`].
    pub fn preset(name: &str) -> Result<Self, Error> {
        match name {
            "tiny" => Ok(Self::tiny()),
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
            data: DataConfig {
                drawn: false,
                camera: String::new(),
                frames: 2,
                frame_stride: 1,
                region: Region { top: 0.375, left: 0.15625, height: 0.625, width: 0.625 },
                store: 80,
                world_size: 32,
                batch: 32,
                crop: CropConfig { area: [0.8, 1.0], aspect: [0.9, 1.0 / 0.9] },
                fps: 1.0,
            },
            codec: CodecConfig { factor: 4, whiten: 0.5 },
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
        }
    }

    /// The tiny preset cut down until everything has run once in seconds; its figures mean nothing.
    pub fn smoke() -> Self {
        let tiny = Self::tiny();
        Self {
            plan: Plan::of(&[(PhaseKind::Lam, 20), (PhaseKind::Warm, 20), (PhaseKind::Joint, 20)]),
            pretrain: Plan::of(&[(PhaseKind::Pretrain, 20)]),
            remedies: Remedies { hold_lam: 5, ..tiny.remedies },
            schedule: ScheduleConfig { log_every: 5, checkpoint_every: 10, keep: 2, sensitivity_every: 10 },
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
    /// until the video VAE is here: 192 channels of the space-to-depth codec. Not for a CPU.
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
            data: DataConfig {
                drawn: false,
                camera: String::new(),
                frames: 8,
                frame_stride: 1,
                region: Region::FULL,
                store: 512,
                world_size: 256,
                batch: 128,
                crop: CropConfig { area: [0.8, 1.0], aspect: [0.75, 4.0 / 3.0] },
                fps: 4.0,
            },
            codec: CodecConfig { factor: 8, whiten: 0.5 },
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
            },
            evaluation: EvaluationConfig {
                guidance: 4.0,
                also_guidance: vec![1.0],
                horizon: 7,
                ..tiny.evaluation
            },
        }
    }

    /// Reads a TOML file; every field must be there, unknown ones are refused.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] with line and field.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|source| Error::Io {
            path: file.to_path_buf(),
            doing: "reading",
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| Error::Config {
            origin: file.display().to_string(),
            reason: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The resolved configuration as TOML.
    ///
    /// # Errors
    /// None in practice: every field has a TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string_pretty(self)
            .map_err(|error| Error::Config { origin: "configuration".into(), reason: error.to_string() })
    }

    /// The configuration with one value replaced, e.g. `lam.commitment_weight=0.002` or `plan=WARM400`.
    ///
    /// # Errors
    /// As [`ExperimentConfig::with_all`].
    pub fn with(&self, assignment: &str) -> Result<Self, Error> {
        self.with_all(&[assignment])
    }

    /// The configuration with some values replaced, checked after the last one: values that only fit together can be
    /// set together.
    ///
    /// # Errors
    /// [`Error::Config`] for a key that does not exist (it lists those that do), a value of the wrong type, or values
    /// that [`ExperimentConfig::check`] refuses.
    pub fn with_all(&self, assignments: &[impl AsRef<str>]) -> Result<Self, Error> {
        let mut config = self.clone();
        for assignment in assignments {
            config = config.assign(assignment.as_ref())?;
        }
        config.check()?;
        Ok(config)
    }

    fn assign(&self, assignment: &str) -> Result<Self, Error> {
        let fail = |reason: String| Error::Config { origin: format!("--set {assignment}"), reason };
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| fail("no `=` found; expected KEY=VALUE, e.g. data.batch=16".into()))?;
        let (key, text) = (key.trim(), text.trim());
        let mut tree = toml::Value::try_from(self).map_err(|error| fail(error.to_string()))?;
        let mut place = &mut tree;
        for part in key.split('.') {
            let table =
                place.as_table_mut().ok_or_else(|| fail(format!("`{key}` goes below a plain value")))?;
            if !table.contains_key(part) {
                let known: Vec<&str> = table.keys().map(String::as_str).collect();
                return Err(fail(format!(
                    "there is no key `{part}` in `{key}`; expected one of {}",
                    known.join(", ")
                )));
            }
            place = &mut table[part];
        }
        // A bare word is a string: --set plan=WARM400 needs no quotes.
        let value = format!("value = {text}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(text.to_string()));
        *place = match (&place, value) {
            (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
            (_, value) => value,
        };
        tree.try_into().map_err(|error| fail(error.to_string()))
    }

    /// Refuses values that cannot work together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, its value and what would do.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |reason: String| Error::Config { origin: "configuration".into(), reason };
        self.lam.check().map_err(|error| fail(error.to_string()))?;
        self.dit.check().map_err(|error| fail(error.to_string()))?;
        let latent_actions = self.lam.tokens * self.lam.code_dim;
        let channels = 3 * self.codec.factor * self.codec.factor;
        let (schedule, optimizer, evaluation) = (&self.schedule, &self.optimizer, &self.evaluation);
        let first_tokens =
            FIRST_BATCHES as usize * self.data.batch * self.data.frames.saturating_sub(1) * self.lam.tokens;
        let rules = [
            // TOML, in which the configuration is stored, has no larger whole numbers.
            (
                i64::try_from(self.seed).is_ok(),
                format!("seed is {}; expected at most {}", self.seed, i64::MAX),
            ),
            (
                self.data.frames >= 2,
                format!("data.frames is {}; a transition needs at least 2", self.data.frames),
            ),
            (
                self.data.frames <= self.lam.max_frames,
                format!(
                    "data.frames is {}, lam.max_frames {}; raise the latter",
                    self.data.frames, self.lam.max_frames
                ),
            ),
            (self.data.batch > 0, "data.batch is 0; it must be at least 1".into()),
            (
                self.data.fps > 0.0 && self.data.fps.is_finite(),
                format!("data.fps is {}; expected a rate above 0", self.data.fps),
            ),
            (
                self.codec.factor > 0 && self.data.world_size.is_multiple_of(self.codec.factor.max(1)),
                format!(
                    "data.world_size is {}; codec.factor {} must divide it",
                    self.data.world_size, self.codec.factor
                ),
            ),
            (
                self.dit.in_channels == channels,
                format!(
                    "dit.in_channels is {}; the codec makes 3 * factor² = {channels}",
                    self.dit.in_channels
                ),
            ),
            (
                self.dit.action.action_dim == latent_actions,
                format!(
                    "dit.action.action_dim is {}; the latent action has lam.tokens * lam.code_dim = {latent_actions}",
                    self.dit.action.action_dim
                ),
            ),
            (
                self.dit.action.frames_per_latent == 1,
                format!(
                    "dit.action.frames_per_latent is {}; the space-to-depth codec keeps every frame: set 1",
                    self.dit.action.frames_per_latent
                ),
            ),
            (
                self.flow.given_min >= 1
                    && self.flow.given_min <= self.flow.given_max
                    && self.flow.given_max < self.data.frames,
                format!(
                    "flow.given_min {} and flow.given_max {} must satisfy 1 <= min <= max < data.frames = {}",
                    self.flow.given_min, self.flow.given_max, self.data.frames
                ),
            ),
            (
                (0.0..=1.0).contains(&self.flow.drop),
                format!("flow.drop is {}; expected 0 to 1", self.flow.drop),
            ),
            (schedule.log_every > 0, "schedule.log_every is 0; it must be at least 1".into()),
            (
                schedule.checkpoint_every > 0
                    && schedule.checkpoint_every.is_multiple_of(schedule.log_every.max(1)),
                format!(
                    "schedule.checkpoint_every is {}; it must be a multiple of schedule.log_every = {}",
                    schedule.checkpoint_every, schedule.log_every
                ),
            ),
            (
                schedule.sensitivity_every.is_multiple_of(schedule.log_every.max(1)),
                format!(
                    "schedule.sensitivity_every is {}; it must be 0 or a multiple of schedule.log_every = {}",
                    schedule.sensitivity_every, schedule.log_every
                ),
            ),
            (
                evaluation.transitions >= 2 && evaluation.curve_transitions >= 2 && evaluation.episodes >= 2,
                format!(
                    "evaluation.transitions is {}, evaluation.curve_transitions {}, evaluation.episodes {}; each must \
                     be at least 2, or there are no other clips' actions to shuffle with",
                    evaluation.transitions, evaluation.curve_transitions, evaluation.episodes
                ),
            ),
            (
                evaluation.guidance.is_finite() && evaluation.also_guidance.iter().all(|scale| scale.is_finite()),
                "evaluation.guidance and evaluation.also_guidance must be finite numbers".into(),
            ),
            (
                match self.flow.time.shift {
                    Shift::None => true,
                    Shift::Fixed(ratio) | Shift::Resolution(ratio) => ratio.is_finite() && ratio > 0.0,
                },
                format!("flow.time.shift is {:?}; expected a finite number above 0", self.flow.time.shift),
            ),
            (
                self.codec.whiten.is_finite() && self.remedies.motion_weight.is_finite(),
                "codec.whiten and remedies.motion_weight must be finite numbers".into(),
            ),
            (
                [optimizer.beta1, optimizer.beta2].iter().all(|beta| (0.0..1.0).contains(beta))
                    && [optimizer.eps, optimizer.decay, optimizer.clip].iter().all(|x| x.is_finite() && *x >= 0.0),
                "optimizer: beta1 and beta2 must lie in 0..1; eps, decay and clip must be finite and not negative".into(),
            ),
            (
                [PhaseKind::Pretrain, PhaseKind::Lam, PhaseKind::Warm, PhaseKind::Joint, PhaseKind::World].iter().all(
                    |kind| {
                        let PhaseConfig { rates: Rates { idm, codebook, fdm, action, backbone }, final_rate } =
                            *self.phase(*kind);
                        [idm, codebook, fdm, action, backbone, final_rate].iter().all(|x| x.is_finite() && *x >= 0.0)
                    },
                ),
                "phases: every rate and final_rate must be finite and not negative".into(),
            ),
            (
                self.lam.code_init != cola_lam::CodeInit::Data || first_tokens >= self.lam.codes,
                format!(
                    "data.batch is {}; the first codes are drawn from {FIRST_BATCHES} batches, which hold {first_tokens} \
                     tokens, fewer than lam.codes = {}: raise data.batch",
                    self.data.batch, self.lam.codes
                ),
            ),
            (
                self.evaluation.horizon > 0 && self.evaluation.batch > 0 && self.evaluation.steps > 0,
                "evaluation.horizon, evaluation.batch and evaluation.steps must be at least 1".into(),
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(fail(reason)),
            None => Ok(()),
        }
    }

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

    /// How clips are read.
    pub fn clip_options(&self) -> ClipOptions {
        let camera = (!self.data.camera.is_empty()).then(|| self.data.camera.clone());
        ClipOptions {
            camera,
            frames: self.data.frames,
            frame_stride: self.data.frame_stride,
            region: self.data.region,
            store: self.data.store,
        }
    }

    /// How batches are made.
    pub fn loader(&self) -> LoaderConfig {
        LoaderConfig {
            batch: self.data.batch,
            lam_size: self.lam.image,
            world_size: self.data.world_size,
            crop: self.data.crop,
        }
    }
}
