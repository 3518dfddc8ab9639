//! How tokens become codes: the plain quantizer of the paper, and what is known to keep a codebook from collapsing.

use serde::{Deserialize, Serialize};

use super::{CodeInit, LamConfig, MOST_CODES};
use crate::error::ConfigError;
use crate::quantize::{CLUSTER_SIZE, CODEBOOK, EMBED_AVG};

/// From this number of levels on, the margin of the bound reaches the next whole number, so an index that does not exist.
const MOST_LEVELS: usize = 1000;

/// Below this temperature, distances overflow an f32.
const LEAST_TEMPERATURE: f64 = 1e-6;

/// What moves the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeUpdate {
    /// The codebook loss (paper).
    Gradient,
    /// A moving average of the tokens that chose them; the codebook gets no gradient (van den Oord et al., appendix A.1).
    Ema,
}

/// How the gradient of a code reaches the token that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenGradient {
    /// Unchanged (paper).
    Straight,
    /// Turned and scaled as the token has to be to become the code (rotation trick, arXiv 2410.06424).
    Rotation,
}

/// The quantizer. The default is the paper's; everything else is a remedy against collapse and off.
///
/// ```
/// use cola_lam::{CodeUpdate, LamConfig, QuantizerConfig};
///
/// let quantizer = QuantizerConfig { update: CodeUpdate::Ema, decay: 0.9, cosine: true, ..QuantizerConfig::default() };
/// let config = LamConfig { quantizer, ..LamConfig::tiny() };
/// assert!(config.check().is_ok());
/// assert!(!config.learns_by_gradient(cola_lam::CODEBOOK));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizerConfig {
    /// What moves the codes.
    pub update: CodeUpdate,
    /// Share of a moving average that stays in each step.
    pub decay: f64,
    /// Laplace smoothing of the moving average's counts.
    pub eps: f64,
    /// Tokens and codes are brought to length 1 before they are compared, used and punished.
    pub cosine: bool,
    /// What reaches the tokens.
    pub gradient: TokenGradient,
    /// Weight of the entropy penalty; 0 switches it off (villa-X: 0.1).
    pub entropy_weight: f64,
    /// Squared distances are divided by it before the penalty's softmax; it must match their scale.
    pub entropy_temperature: f64,
    /// Levels of each number of a token: finite scalar quantization instead of a codebook; empty keeps the codebook.
    pub levels: Vec<usize>,
}

impl Default for QuantizerConfig {
    fn default() -> Self {
        Self {
            update: CodeUpdate::Gradient,
            decay: 0.99,
            eps: 1e-5,
            cosine: false,
            gradient: TokenGradient::Straight,
            entropy_weight: 0.0,
            entropy_temperature: 0.01,
            levels: Vec::new(),
        }
    }
}

impl QuantizerConfig {
    /// Whether tokens are rounded number by number, without a codebook.
    pub fn is_scalar(&self) -> bool {
        !self.levels.is_empty()
    }

    /// Whether the quantizer can exist within `lam`.
    pub(super) fn check(&self, lam: &LamConfig) -> Result<(), ConfigError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let numbers = [
            ("decay", self.decay, (0.0..1.0).contains(&self.decay), "0 or more and below 1"),
            ("eps", self.eps, positive(self.eps), "a finite number above 0"),
            (
                "entropy_weight",
                self.entropy_weight,
                self.entropy_weight == 0.0 || positive(self.entropy_weight),
                "a finite number, 0 or more",
            ),
            (
                "entropy_temperature",
                self.entropy_temperature,
                self.entropy_temperature.is_finite() && self.entropy_temperature >= LEAST_TEMPERATURE,
                "a finite number, 1e-6 or more",
            ),
        ];
        let usual = Self::default();
        for (name, value, holds, expected) in numbers {
            if !holds {
                let usual = match name {
                    "decay" => usual.decay,
                    "eps" => usual.eps,
                    "entropy_weight" => usual.entropy_weight,
                    _ => usual.entropy_temperature,
                };
                return Err(refusal(name, value, expected, format!("the default is {usual}")));
            }
        }
        if self.is_scalar() { self.check_levels(lam) } else { Ok(()) }
    }

    fn check_levels(&self, lam: &LamConfig) -> Result<(), ConfigError> {
        let levels = &self.levels;
        let listed = format!("{levels:?}");
        if let Some(level) = levels.iter().find(|level| !(2..=MOST_LEVELS).contains(*level)) {
            let mend = format!("replace the {level}");
            return Err(refusal("levels", listed, format!("2 to {MOST_LEVELS} levels a number"), mend));
        }
        let product = levels.iter().try_fold(1usize, |codes, level| codes.checked_mul(*level));
        let Some(codes) = product.filter(|codes| *codes <= MOST_CODES) else {
            let expected = format!("a product of {MOST_CODES} at most");
            return Err(refusal("levels", listed, expected, "use fewer or smaller levels".into()));
        };
        if lam.code_dim != levels.len() {
            let expected = format!("one for each of `code_dim` = {} numbers", lam.code_dim);
            return Err(refusal("levels", listed, expected, format!("set code_dim to {}", levels.len())));
        }
        if lam.codes != codes {
            let expected = format!("a product of `codes` = {}", lam.codes);
            return Err(refusal("levels", listed, expected, format!("set codes to {codes}")));
        }
        // Without a codebook there is nothing that these could act on.
        for (name, value, applies, mend) in [
            ("update", "ema", self.update == CodeUpdate::Ema, "gradient"),
            ("cosine", "true", self.cosine, "false"),
            ("gradient", "rotation", self.gradient == TokenGradient::Rotation, "straight"),
            ("entropy_weight", "above 0", self.entropy_weight > 0.0, "0"),
        ] {
            if applies {
                let expected = format!("a codebook, but `quantizer.levels` = {listed} has none");
                let mend = format!("set quantizer.{name} to {mend}, or quantizer.levels to []");
                return Err(refusal(name, value, expected, mend));
            }
        }
        if lam.code_init == CodeInit::Data {
            let expected = "box, since scalar quantization has no first codes".to_string();
            return Err(refusal(
                "levels",
                listed,
                format!("`code_init` = {expected}"),
                "set code_init to box".into(),
            ));
        }
        Ok(())
    }
}

impl LamConfig {
    /// Whether an optimizer moves the parameter of this name (of a [`LatentActionModel`](crate::LatentActionModel) at the
    /// root). A moving average moves the codebook itself, and its statistics belong to nobody else.
    pub fn learns_by_gradient(&self, name: &str) -> bool {
        self.quantizer.update == CodeUpdate::Gradient || ![CODEBOOK, CLUSTER_SIZE, EMBED_AVG].contains(&name)
    }
}

fn refusal(
    name: &'static str,
    value: impl ToString,
    expected: impl Into<String>,
    mend: String,
) -> ConfigError {
    ConfigError::Quantizer { name, value: value.to_string(), expected: expected.into(), mend }
}
