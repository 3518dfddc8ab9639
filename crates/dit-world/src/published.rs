//! The published `config.json` of STDiT3, and what of it this port computes.

use serde::{Deserialize, Serialize};

use crate::config::{ActionConfig, ConfigError, DitConfig, TextConfig};

/// `config.json` as Open-Sora v1.2 writes it: its field names, its defaults for absent fields. Fields that change nothing
/// in what is computed (`input_size`, `drop_path` and so on) are not read; they are listed with the foreign ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedConfig {
    /// `STDiT3`.
    pub model_type: String,
    /// Side in pixels of the square at which grid positions have scale 1.
    pub input_sq_size: usize,
    /// Latent channels.
    pub in_channels: usize,
    /// Frames, rows and columns of a patch.
    pub patch_size: [usize; 3],
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Pairs of a spatial and a temporal block.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Feed-forward width divided by `hidden_size`.
    pub mlp_ratio: f64,
    /// Twice the output channels.
    pub pred_sigma: bool,
    /// Width of the text features.
    pub caption_channels: usize,
    /// Text tokens.
    pub model_max_length: usize,
    /// RMS norm of queries and keys.
    pub qk_norm: bool,
    /// What the published model does not have; absent in published files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cola_world: Option<Additions>,
}

/// What the paper adds to the published model, under a key of its own that other programs pass over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Additions {
    /// A frame attends to itself and the earlier ones only.
    pub causal: bool,
    /// Whether the model has text.
    pub text: bool,
    /// The action conditioner.
    pub action: ActionConfig,
}

impl Default for PublishedConfig {
    fn default() -> Self {
        Self {
            model_type: "STDiT3".into(),
            input_sq_size: 512,
            in_channels: 4,
            patch_size: [1, 2, 2],
            hidden_size: 1152,
            depth: 28,
            num_heads: 16,
            mlp_ratio: 4.0,
            pred_sigma: true,
            caption_channels: 4096,
            model_max_length: 300,
            qk_norm: true,
            cola_world: None,
        }
    }
}

impl PublishedConfig {
    /// The model that the file describes: the reference form unless it says otherwise.
    ///
    /// # Errors
    /// Another kind of model, patches over time or that are not square, a feed-forward width that is no multiple of the
    /// tokens'; what [`DitConfig::check`] refuses.
    pub fn config(&self) -> Result<DitConfig, ConfigError> {
        let unsupported =
            |field, found: String, expected| ConfigError::Unsupported { field, found, expected };
        if self.model_type != "STDiT3" {
            let found = self.model_type.clone();
            return Err(unsupported("model_type", found, "this is a port of STDiT3"));
        }
        let [frames, rows, columns] = self.patch_size;
        if frames != 1 || rows != columns {
            let found = format!("{:?}", self.patch_size);
            return Err(unsupported("patch_size", found, "patches are of one frame and square: [1, p, p]"));
        }
        if self.mlp_ratio < 1.0 || self.mlp_ratio > 64.0 || self.mlp_ratio.fract() != 0.0 {
            let found = self.mlp_ratio.to_string();
            return Err(unsupported("mlp_ratio", found, "it is a whole number from 1 to 64"));
        }
        let plain = DitConfig::open_sora_v1_2();
        let Additions { causal, text, action } = self.cola_world.clone().unwrap_or(Additions {
            causal: plain.causal,
            text: true,
            action: plain.action,
        });
        let config = DitConfig {
            in_channels: self.in_channels,
            patch: rows,
            hidden_size: self.hidden_size,
            depth: self.depth,
            num_heads: self.num_heads,
            mlp_ratio: self.mlp_ratio as usize,
            pred_sigma: self.pred_sigma,
            input_sq_size: self.input_sq_size,
            qk_norm: self.qk_norm,
            causal,
            text: text.then_some(TextConfig {
                caption_channels: self.caption_channels,
                model_max_length: self.model_max_length,
            }),
            action,
        };
        config.check()?;
        Ok(config)
    }

    /// The file of a model; a published one gets no addition.
    pub fn of(config: &DitConfig, with_actions: bool) -> Self {
        let plain = Self::default();
        let text = config.text.clone();
        let added = with_actions || config.causal || text.is_none();
        Self {
            input_sq_size: config.input_sq_size,
            in_channels: config.in_channels,
            patch_size: [1, config.patch, config.patch],
            hidden_size: config.hidden_size,
            depth: config.depth,
            num_heads: config.num_heads,
            mlp_ratio: config.mlp_ratio as f64,
            pred_sigma: config.pred_sigma,
            caption_channels: text.as_ref().map_or(plain.caption_channels, |text| text.caption_channels),
            model_max_length: text.as_ref().map_or(plain.model_max_length, |text| text.model_max_length),
            qk_norm: config.qk_norm,
            cola_world: added.then(|| Additions {
                causal: config.causal,
                text: text.is_some(),
                action: config.action.clone(),
            }),
            ..plain
        }
    }
}
