//! Sizes of the world model.

use serde::{Deserialize, Serialize};

use crate::alignment::Alignment;

/// A configuration that no model can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size that another has to divide.
    #[error("{field} is {found}; it must be a multiple of {unit} ({why})")]
    Multiple {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What must divide it.
        unit: usize,
        /// Why.
        why: &'static str,
    },
    /// A size that is zero.
    #[error("{field} is 0; it must be at least 1")]
    Zero {
        /// The field, as in the configuration file.
        field: &'static str,
    },
    /// A size that no model has: it would be asked for before anything can say that it is wrong.
    #[error("{field} is {found}; it must be at most {most}")]
    TooLarge {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What is allowed.
        most: usize,
    },
    /// A value that nothing here computes.
    #[error("{field} is {found}; {expected}")]
    Unsupported {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
}

impl ConfigError {
    /// The field that is wrong, as in the configuration file.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Multiple { field, .. }
            | Self::Zero { field }
            | Self::TooLarge { field, .. }
            | Self::Unsupported { field, .. } => field,
        }
    }
}

/// The diffusion transformer; field names follow STDiT3's `config.json`.
///
/// There are two forms. The *reference* form is Open-Sora v1.2 as published: text cross-attention in every block,
/// temporal attention in both directions. The *paper* form has no text, causal temporal attention, and actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DitConfig {
    /// Latent channels.
    pub in_channels: usize,
    /// Side of a square patch in latent pixels; the temporal patch is 1.
    pub patch: usize,
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Pairs of a spatial and a temporal block.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Feed-forward width divided by `hidden_size`.
    pub mlp_ratio: usize,
    /// Twice the output channels, the second half unused (published checkpoints have it).
    pub pred_sigma: bool,
    /// Side in pixels of the square at which grid positions have scale 1.
    pub input_sq_size: usize,
    /// RMS norm of queries and keys within each head.
    #[serde(default = "yes")]
    pub qk_norm: bool,
    /// A frame attends to itself and the earlier ones only.
    #[serde(default = "yes")]
    pub causal: bool,
    /// Cross-attention to text in every block; none in the paper form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig>,
    /// The action conditioner.
    pub action: ActionConfig,
}

/// What of text the reference form takes in; field names follow STDiT3's `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// Width of the text features (T5-XXL: 4096).
    pub caption_channels: usize,
    /// Tokens of the learned null caption, and at most of any other.
    pub model_max_length: usize,
}

fn yes() -> bool {
    true
}

/// The network from latent actions to modulations (paper 3.3, B.2; about 74 M parameters at full size).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Numbers of one latent action (tokens x code size).
    pub action_dim: usize,
    /// Transitions that one latent frame spans: 1, or 4 with the temporal VAE, see [`Alignment`].
    pub frames_per_latent: usize,
    /// Width of the self-attention blocks.
    pub width: usize,
    /// Self-attention blocks over the action sequence.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Feed-forward width divided by `width`.
    pub mlp_ratio: usize,
    /// Layer norm before the output layers. Keeps the modulation bounded in small models.
    pub output_norm: bool,
    /// The last output layer starts at zero: the conditioned model starts as the unconditioned one, exactly. Otherwise
    /// only the residual branches of the blocks start silent, which is the paper's literal reading.
    pub zero_output: bool,
}

impl DitConfig {
    /// STDiT3-XL/2 as published (`hpcai-tech/OpenSora-STDiT-v3`): 1,208,872,772 numbers in 973 tensors.
    pub fn open_sora_v1_2() -> Self {
        let text = TextConfig { caption_channels: 4096, model_max_length: 300 };
        Self { causal: false, text: Some(text), ..Self::paper() }
    }

    /// STDiT3-XL/2 with the paper's additions: 904,066,592 parameters and 74,451,456 in the action conditioner.
    pub fn paper() -> Self {
        Self {
            in_channels: 4,
            patch: 2,
            hidden_size: 1152,
            depth: 28,
            num_heads: 16,
            mlp_ratio: 4,
            pred_sigma: true,
            input_sq_size: 512,
            qk_norm: true,
            causal: true,
            text: None,
            action: ActionConfig {
                action_dim: 64,
                frames_per_latent: 1,
                width: 1152,
                layers: 6,
                heads: 16,
                mlp_ratio: 2,
                output_norm: false,
                zero_output: false,
            },
        }
    }

    /// A model for two CPU cores: 32-pixel pictures through [`crate::SpaceToDepth`].
    pub fn tiny() -> Self {
        Self {
            in_channels: 48,
            patch: 1,
            hidden_size: 96,
            depth: 2,
            num_heads: 4,
            mlp_ratio: 4,
            pred_sigma: false,
            input_sq_size: 32,
            qk_norm: true,
            causal: true,
            text: None,
            action: ActionConfig {
                action_dim: 64,
                frames_per_latent: 1,
                width: 96,
                layers: 2,
                heads: 4,
                mlp_ratio: 2,
                output_norm: true,
                zero_output: true,
            },
        }
    }

    /// The same sizes without text and with causal temporal attention.
    pub fn paper_form(self) -> Self {
        Self { causal: true, text: None, ..self }
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        if self.pred_sigma { 2 * self.in_channels } else { self.in_channels }
    }

    /// Refuses sizes that do not fit together.
    ///
    /// # Errors
    /// The field, its value and what would do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let action = &self.action;
        let text = self.text.as_ref();
        let (wide, deep) = (1 << 16, 1 << 10);
        for (field, value, most) in [
            ("dit.text.caption_channels", text.map_or(1, |text| text.caption_channels), wide),
            ("dit.text.model_max_length", text.map_or(1, |text| text.model_max_length), wide),
            ("dit.in_channels", self.in_channels, wide),
            ("dit.patch", self.patch, 64),
            ("dit.hidden_size", self.hidden_size, wide),
            ("dit.depth", self.depth, deep),
            ("dit.num_heads", self.num_heads, wide),
            ("dit.mlp_ratio", self.mlp_ratio, 64),
            ("dit.input_sq_size", self.input_sq_size, wide),
            ("dit.action.action_dim", action.action_dim, wide),
            ("dit.action.width", action.width, wide),
            ("dit.action.heads", action.heads, wide),
            ("dit.action.mlp_ratio", action.mlp_ratio, 64),
        ] {
            match value {
                0 => return Err(ConfigError::Zero { field }),
                found if found > most => return Err(ConfigError::TooLarge { field, found, most }),
                _ => {}
            }
        }
        if action.layers > deep {
            return Err(ConfigError::TooLarge {
                field: "dit.action.layers",
                found: action.layers,
                most: deep,
            });
        }
        if Alignment::new(action.frames_per_latent).is_err() {
            return Err(ConfigError::Unsupported {
                field: "dit.action.frames_per_latent",
                found: action.frames_per_latent.to_string(),
                expected: "it must be 1 (every frame encoded by itself) or 4 (the temporal VAE's rate)",
            });
        }
        let multiple = |field, found: usize, unit, why| {
            if found.is_multiple_of(unit) {
                Ok(())
            } else {
                Err(ConfigError::Multiple { field, found, unit, why })
            }
        };
        multiple(
            "dit.hidden_size",
            self.hidden_size,
            4,
            "grid positions take a quarter of the channels each",
        )?;
        let heads = "each head takes an even, equal share for the rotary embedding";
        multiple("dit.hidden_size", self.hidden_size, 2 * self.num_heads, heads)?;
        multiple("dit.action.width", action.width, 2 * action.heads, heads)
    }
}
