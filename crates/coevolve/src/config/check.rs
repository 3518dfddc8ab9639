//! Values that cannot work together, refused before anything is computed.

use cola_flow::Shift;
use cola_lam::HealthLimits;

use super::{ExperimentConfig, FIRST_BATCHES, PhaseConfig, Rates};
use crate::Error;
use crate::plan::PhaseKind;

impl ExperimentConfig {
    /// Refuses values that cannot work together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field, its value and what would do.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |reason: String| Error::Config { origin: "configuration".into(), reason };
        self.lam.check().map_err(|error| fail(error.to_string()))?;
        self.dit.check().map_err(|error| fail(error.to_string()))?;
        self.feeder().check().map_err(|error| fail(format!("data.{error}")))?;
        let latent_actions = self.lam.tokens * self.lam.code_dim;
        let (schedule, optimizer, evaluation) = (&self.schedule, &self.optimizer, &self.evaluation);
        let first_tokens = [self.data.batch, self.data.frames.saturating_sub(1), self.lam.tokens]
            .into_iter()
            .fold(FIRST_BATCHES as usize, usize::saturating_mul);
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
                self.data.accumulate > 0 && self.data.accumulate <= self.data.batch.max(1),
                format!(
                    "data.accumulate is {}; a batch of data.batch = {} clips has at least 1 part and no more than it has \
                     clips",
                    self.data.accumulate, self.data.batch
                ),
            ),
            (
                self.data.fps > 0.0 && self.data.fps.is_finite(),
                format!("data.fps is {}; expected a rate above 0", self.data.fps),
            ),
            (
                self.dit.action.action_dim == latent_actions,
                format!(
                    "dit.action.action_dim is {}; the latent action has lam.tokens * lam.code_dim = {latent_actions}",
                    self.dit.action.action_dim
                ),
            ),
            (
                self.flow.given_min >= 1
                    && self.flow.given_min <= self.flow.given_max
                    && self.flow.given_max < self.latent_frames(),
                format!(
                    "flow.given_min {} and flow.given_max {} must satisfy 1 <= min <= max < {}, the latent frames of \
                     data.frames",
                    self.flow.given_min,
                    self.flow.given_max,
                    self.latent_frames()
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
                schedule.evaluate_every.is_multiple_of(schedule.log_every.max(1)),
                format!(
                    "schedule.evaluate_every is {}; it must be 0 or a multiple of schedule.log_every = {}",
                    schedule.evaluate_every, schedule.log_every
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
                    Shift::OpenSora(scale) => scale.is_finite() && scale > 0.0 && self.data.frames >= 17,
                },
                format!(
                    "flow.time.shift is {:?}; expected a finite number above 0, and with open_sora data.frames of at \
                     least 17, since shorter clips would be trained at time 0 only",
                    self.flow.time.shift
                ),
            ),
            (
                self.codec.whiten.is_finite() && self.remedies.motion_weight.is_finite(),
                "codec.whiten and remedies.motion_weight must be finite numbers".into(),
            ),
            (
                [optimizer.beta1, optimizer.beta2, optimizer.average].iter().all(|beta| (0.0..1.0).contains(beta))
                    && [optimizer.eps, optimizer.decay, optimizer.clip].iter().all(|x| x.is_finite() && *x >= 0.0),
                "optimizer: beta1, beta2 and average must lie in 0..1; eps, decay and clip must be finite and not negative".into(),
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
                !self.lam.quantizer.is_scalar() || self.remedies.restart_after == 0,
                format!(
                    "remedies.restart_after is {}; with lam.quantizer.levels there are no codes to restart: set 0",
                    self.remedies.restart_after
                ),
            ),
            (
                {
                    let health = &self.health;
                    let HealthLimits { utilization, max_usage, entropy, windows } = health.codebook;
                    [utilization, max_usage, entropy, health.gradient_ratio, health.token_spread]
                        .iter()
                        .all(|limit| limit.is_finite() && *limit >= 0.0)
                        && health.window > 0
                        && windows > 0
                },
                "health: every limit must be finite and not negative, health.window and health.codebook.windows at least 1"
                    .into(),
            ),
            (
                self.evaluation.horizon > 0 && self.evaluation.batch > 0 && self.evaluation.steps > 0,
                "evaluation.horizon, evaluation.batch and evaluation.steps must be at least 1".into(),
            ),
        ];
        match rules.into_iter().chain(self.latents_rules()).find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(fail(reason)),
            None => Ok(()),
        }
    }
}
