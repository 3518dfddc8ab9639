//! The paper's pipeline: a latent action model and a video world model that train each other.
//!
//! A [`Run`] holds configuration, parameters, optimizer and position; [`Run::train`] carries it through the phases of
//! its [`Plan`]. In `WARM` the pre-trained video model is frozen and its gradient teaches the latent actions; in `E2E`
//! everything learns. Noise, times, crops, order and dropped actions are pure functions of (seed, step, sample), so a
//! resumed run writes the same bits as one that never stopped.
//!
//! ```
//! use std::sync::Arc;
//!
//! use candle_core::Device;
//! use cola_coevolve::{ExperimentConfig, Run};
//! use cola_data::{ClipSource, DrawnConfig, DrawnWorld};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ExperimentConfig::toy().with("plan=LAM2+WARM2+E2E2")?.with("data.batch=16")?;
//! let clips: Arc<dyn ClipSource> = Arc::new(DrawnWorld::new(DrawnConfig::tiny(), 0)?);
//! let mut run = Run::new(&config, &Device::Cpu)?;
//! run.fit_codec(&clips)?;
//! let folder = std::env::temp_dir().join(format!("cola-doctest-{}", std::process::id()));
//! run.train(&clips, None, &folder, &mut [])?;
//! assert!(run.is_finished());
//! std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! Parts: [`ExperimentConfig`], [`Plan`], [`SystemParams`] and [`System`], [`world_step`] and [`lam_step`], [`AdamW`],
//! [`Run`], [`checkpoint`], [`Observer`] and [`Record`] with its [`Warning`]s, [`evaluate`] and [`sensitivity`],
//! [`Outlook`] with [`FirstLosses`], [`ActionPairs`] with the linear [`probe`] and the [`Adapter`] over them. It never prints and never
//! picks a device: programs do.

mod advance;
mod begin;
pub mod checkpoint;
mod codebook;
mod config;
mod divergence;
mod encoder;
mod error;
mod gradients;
mod health;
mod idm_gradient;
mod learner;
mod observe;
mod optim;
mod outlook;
mod plan;
mod run;
mod step;
mod stored_lam;
mod study;
mod system;
mod train;
mod window;

pub use config::{
    DataConfig, EvaluationConfig, ExperimentConfig, Fixed, FlowConfig, Generator, LatentsConfig, PhaseConfig,
    PhasesConfig, Rates, Remedies, ScheduleConfig, StartConfig,
};
pub use divergence::{Divergence, DivergenceConfig, DivergencePolicy};
pub use error::Error;
pub use health::{HealthConfig, Warning};
pub use observe::{Observer, Record};
pub use optim::{AdamW, OptimizerConfig, Update, WarmupRule};
pub use outlook::{Bytes, Count, FirstLosses, Machine, Memory, Outlook, Part, PhaseOutlook, Refusal, Stage};
pub use plan::{Phase, PhaseKind, Plan, PlanError, Trains};
pub use run::Run;
pub use step::{Key, Step, lam_step, world_step};
pub use stored_lam::StoredLam;
pub use study::adapter::{
    Accuracy, Adapter, AdapterConfig, AdapterNet, AdapterReport, Choice, CodeLogits, Latents, Majority,
    Predicted, Target,
};
pub use study::probe::{
    DimensionFit, Fit, Head, Probe, ProbeConfig, ProbeInput, ProbeReport, ProbeRow, Ridge, RowKind, probe,
    ridge,
};
pub use study::{
    ActionPairs, Evaluation, HeldOut, Pictures, Quantiles, Recipe, Scores, Sensitivity, StudyError, evaluate,
    forward_sensitivity, sensitivity,
};
pub use system::{System, SystemParams};
