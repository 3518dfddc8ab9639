//! Checkpoints in the published layout: opened in either form, saved.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::{Params, Rope, blueprint};
use cola_weights::{Error, Hub, LoadOptions, Loaded, Weights, load, read_config, resolve, save};

use crate::action::ActionConditioner;
use crate::config::{ActionConfig, DitConfig};
use crate::model::DitWorld;
use crate::published::PublishedConfig;

/// Names of the action conditioner's tensors begin so in a checkpoint.
const ACTION: &str = "action_conditioner.";

/// The largest file that is written; larger checkpoints are sharded.
const SHARD: u64 = 5_000_000_000;

/// What a checkpoint is opened as.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Form {
    /// As it was saved: a published checkpoint as the reference form with text.
    #[default]
    Stored,
    /// As the paper's model: causal, without text, under actions of this kind.
    Paper(ActionConfig),
}

/// An opened checkpoint: parameters, and what became of its tensors.
///
/// ```
/// use candle_core::{DType, Device};
/// use cola_dit_world::{DitConfig, DitWorld, Form, Pretrained, TextConfig};
/// use cola_nn::Params;
/// use cola_weights::Hub;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("published");
/// let text = TextConfig { caption_channels: 8, model_max_length: 3 };
/// let config = DitConfig { causal: false, text: Some(text), ..DitConfig::tiny() };
/// let params = Params::seeded(0, DType::F32, &Device::Cpu);
/// DitWorld::new(&config, params.frozen())?;
/// Pretrained::new(config, params, None).save_pretrained(&folder)?;
///
/// let hub = Hub::from_env();
/// let paper = Form::Paper(DitConfig::tiny().action);
/// let source = folder.to_str().ok_or("a path in UTF-8")?; // or hpcai-tech/OpenSora-STDiT-v3
/// let opened = Pretrained::from_pretrained(source, &paper, &hub, DType::F32, &Device::Cpu)?;
/// assert!(opened.report.names.left.iter().any(|name| name.contains("cross_attn")));
/// assert!(opened.report.names.created.iter().all(|name| name.starts_with("action_conditioner.")));
/// let dit = opened.dit(true)?;
/// # assert_eq!(dit.config().text, None);
/// # Ok(())
/// # }
/// ```
pub struct Pretrained {
    /// The model's sizes, in the form that it was opened in.
    pub config: DitConfig,
    /// The transformer's parameters.
    pub backbone: Params,
    /// The action conditioner's; fresh where the checkpoint has none.
    pub action: Params,
    /// Used, left and created tensors by name; the action conditioner's begin with `action_conditioner.`.
    pub report: Loaded,
    /// Fields of `config.json` that were passed over.
    pub unknown: Vec<String>,
}

impl Pretrained {
    /// Parameters that were never in a file.
    pub fn new(config: DitConfig, backbone: Params, action: Option<Params>) -> Self {
        let action = action.unwrap_or_else(|| Params::seeded(0, DType::F32, &Device::Cpu));
        Self { config, backbone, action, report: Loaded::default(), unknown: Vec::new() }
    }

    /// Opens a folder or, with the feature `hub`, an id such as `hpcai-tech/OpenSora-STDiT-v3`: `config.json` and
    /// safetensors, whole or sharded. Parameters are cast to `dtype`.
    ///
    /// Every tensor of the form must be there, finite and of its shape, but for `rope.freqs`, which is computed when
    /// absent, and the action conditioner as a whole, which is drawn from seed 0. Other tensors are left and reported.
    ///
    /// # Errors
    /// Names file, field or tensor, what was found and what was expected.
    pub fn from_pretrained(
        path_or_id: &str,
        form: &Form,
        hub: &Hub,
        dtype: DType,
        device: &Device,
    ) -> cola_weights::Result<Self> {
        let folder = resolve(path_or_id, hub)?;
        let (published, unknown) = read_config::<PublishedConfig>(&folder)?;
        let config = published
            .config()
            .map(|config| match form {
                Form::Stored => config,
                Form::Paper(action) => DitConfig { action: action.clone(), ..config.paper_form() },
            })
            .and_then(|config| config.check().map(|()| config))
            .map_err(|refusal| Error::refused_config(&folder, refusal.field(), &refusal))?;

        let weights = Weights::open(&folder)?;
        let (backbone, action) = (Params::seeded(0, dtype, device), Params::seeded(0, dtype, device));
        let shapes = blueprint(|vb| DitWorld::new(&config, vb))?;
        let options = LoadOptions::new().create(|name| name == "rope.freqs");
        let mut report = load(&weights, &backbone, &shapes, &options)?;

        let stored = weights.tensors().any(|tensor| tensor.name.starts_with(ACTION));
        let shapes = blueprint(|vb| ActionConditioner::new(&config, vb))?;
        let options = LoadOptions::new().prefix(ACTION, "").create(|_| !stored);
        let actions = load(&weights, &action, &shapes, &options)?;
        let named = |names: &[String]| names.iter().map(|name| format!("{ACTION}{name}")).collect::<Vec<_>>();
        report
            .names
            .left
            .retain(|name| !actions.names.used.iter().any(|used| *name == format!("{ACTION}{used}")));
        report.left -= actions.used;
        report.names.used.extend(named(&actions.names.used));
        report.used += actions.used;
        report.names.created.extend(named(&actions.names.created));
        report.created += actions.created;
        report.names.used.sort();
        report.names.created.sort();
        Ok(Self { config, backbone, action, report, unknown })
    }

    /// Writes `config.json` in the published field names and the tensors under the published names; the action
    /// conditioner's beside them if there are any. Published loaders open the folder of a model in the reference form; in
    /// the paper's form they would find no text tensors, and know nothing of causality and actions.
    ///
    /// # Errors
    /// A folder that holds a checkpoint or cannot be written.
    pub fn save_pretrained(&self, folder: &Path) -> cola_weights::Result<()> {
        let mut tensors = self.backbone.tensors();
        let freqs = "rope.freqs";
        if !tensors.contains_key(freqs) {
            // A constant that the published model stores.
            let rope = Rope::new(self.config.hidden_size / self.config.num_heads, 10_000.0)?;
            tensors.insert(freqs.into(), rope.freqs(&Device::Cpu)?.to_dtype(DType::F32)?);
        }
        let action = self.action.tensors();
        let published = PublishedConfig::of(&self.config, !action.is_empty());
        let config = serde_json::to_value(published).map_err(candle_core::Error::wrap)?;
        let named = |(name, tensor): (String, Tensor)| (format!("{ACTION}{name}"), tensor);
        save(folder, tensors.into_iter().chain(action.into_iter().map(named)), &config, SHARD)?;
        Ok(())
    }

    /// The transformer over these parameters.
    ///
    /// # Errors
    /// Parameters of another model.
    pub fn dit(&self, trains: bool) -> Result<DitWorld> {
        DitWorld::new(&self.config, self.backbone.builder(trains))
    }

    /// The action conditioner over these parameters; draws those that are not there.
    ///
    /// # Errors
    /// Parameters of another model.
    pub fn conditioner(&self, trains: bool) -> Result<ActionConditioner> {
        ActionConditioner::new(&self.config, self.action.builder(trains))
    }
}
