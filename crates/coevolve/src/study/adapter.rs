//! From real actions to latent ones: what a world model needs to be driven by a robot (paper 4.4, C.2).

mod file;
mod logits;
mod majority;
mod net;
mod report;

use candle_core::{DType, Device, Tensor, Var};
use cola_lam::{CodebookUsage, UsageReport};
use cola_nn::{Params, nearest_code};
use serde::{Deserialize, Serialize};

pub use logits::{Choice, CodeLogits};
pub use majority::Majority;
pub use net::AdapterNet;
pub use report::{Accuracy, AdapterReport, Predicted};

use crate::Error;
use crate::optim::{AdamW, Update};
use crate::study::StudyError;
use crate::study::pairs::ActionPairs;
use crate::study::quantiles::Quantiles;
use crate::study::recipe::Recipe;

/// What the network learns to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Logits of the codes, by cross-entropy (CoLA-World).
    Codes,
    /// The quantized latent action itself, by squared error (AdaWorld).
    Latent,
}

/// Settings of an [`Adapter`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Width of the hidden layer.
    pub hidden: usize,
    /// What is learned.
    pub target: Target,
    /// How it is fitted (paper: 1000 steps of 64).
    pub recipe: Recipe,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { hidden: 256, target: Target::Codes, recipe: Recipe::new(64) }
    }
}

/// A network from one real action to one latent action, with the units of the former and the codebook of the latter.
///
/// It never sees a frame, so it can only be as good as the latent actions are independent of the state.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cola_coevolve::{ActionPairs, Adapter, AdapterConfig, Choice};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two codes of one number each; the action's sign decides which.
/// let codebook = Tensor::new(&[[-0.5f32], [0.5]], &Device::Cpu)?;
/// let codes = Tensor::from_iter((0..64).map(|i| i % 2), &Device::Cpu)?.reshape((64, 1))?.to_dtype(DType::U32)?;
/// let actions = ((codes.to_dtype(DType::F32)? * 6.0)? - 3.0)?;
/// let z = codebook.index_select(&codes.flatten_all()?, 0)?;
/// let pairs = ActionPairs { embedding: z.clone(), tokens: z, codes, actions, clips: 64 };
///
/// let (adapter, _losses) = Adapter::train(&pairs, &codebook, "step 8000", &AdapterConfig::default())?;
/// let latent = adapter.translate(&Tensor::new(&[[2.5f32], [-3.5]], &Device::Cpu)?, Choice::Argmax)?;
/// assert_eq!(latent.codes.to_vec2::<u32>()?, [[1], [0]]);
/// assert_eq!(latent.embedding.to_vec2::<f32>()?, [[0.5], [-0.5]]);
/// let report = adapter.evaluate(&pairs, 0)?;
/// assert_eq!((report.argmax.accuracy.joint, report.majority.joint), (1.0, 0.5));
///
/// let file = std::env::temp_dir().join(format!("cola-adapter-{}.safetensors", std::process::id()));
/// adapter.save(&file)?;
/// assert!(Adapter::load(&file, "step 8000").is_ok());
/// let other = Adapter::load(&file, "step 9000").err().expect("another codebook").to_string();
/// assert!(other.contains("step 8000") && other.contains("step 9000"));
/// # std::fs::remove_file(file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Adapter {
    config: AdapterConfig,
    quantiles: Quantiles,
    /// `(K, d)`, f32, CPU.
    codebook: Tensor,
    version: String,
    majority: Majority,
    params: Params,
    net: AdapterNet,
}

/// Latent actions of an [`Adapter`].
#[derive(Clone, Debug)]
pub struct Latents {
    /// Codes, `(..., n)` u32; of [`Target::Latent`] those nearest to what the network said.
    pub codes: Tensor,
    /// What a world model is given, `(..., n·d)` f32: the codes' rows, or of [`Target::Latent`] what the network said.
    pub embedding: Tensor,
}

impl Adapter {
    /// Fits an adapter to the train split and tells the loss of each step's batch before the step. `codebook` `(K, d)` is
    /// the frozen model's, `version` the caller's name for that model; a file can later be opened under this name only.
    ///
    /// # Errors
    /// [`StudyError::FewTransitions`], [`StudyError::Setting`], [`StudyError::Mismatch`] if codes or latent actions do
    /// not belong to this codebook, [`StudyError::NotFinite`] if the loss is no number.
    pub fn train(
        pairs: &ActionPairs,
        codebook: &Tensor,
        version: &str,
        config: &AdapterConfig,
    ) -> Result<(Self, Vec<f64>), Error> {
        config.recipe.check()?;
        if config.hidden == 0 {
            let expected = "at least 1";
            return Err(StudyError::Setting { field: "hidden", found: "0".into(), expected }.into());
        }
        if pairs.len() < 2 {
            return Err(StudyError::FewTransitions { found: pairs.len() }.into());
        }
        let codebook = codebook.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let (entries, size) = codebook.dims2()?;
        let majority = Majority::of(&pairs.codes, entries)?;
        let latent = majority.positions.len() * size;
        if pairs.embedding.dims() != [pairs.len(), latent] {
            let mismatch = StudyError::Mismatch {
                what: "latent actions",
                found: format!("{:?}", pairs.embedding.dims()),
                expected: format!("{:?} of this codebook", [pairs.len(), latent]),
            };
            return Err(mismatch.into());
        }
        let quantiles = Quantiles::fit(&pairs.actions)?;
        let params = Params::seeded(config.recipe.seed, DType::F32, &Device::Cpu);
        let outputs = outputs(config.target, majority.positions.len(), (entries, size));
        let (inputs, hidden) = (quantiles.dims(), config.hidden);
        let learning = AdapterNet::new(inputs, hidden, outputs, params.trainable())?;
        let net = AdapterNet::new(inputs, hidden, outputs, params.frozen())?;
        let version = version.to_string();
        let adapter = Self { config: config.clone(), quantiles, codebook, version, majority, params, net };
        let losses = adapter.fit(&learning, pairs)?;
        Ok((adapter, losses))
    }

    fn fit(&self, net: &AdapterNet, pairs: &ActionPairs) -> Result<Vec<f64>, Error> {
        let recipe = &self.config.recipe;
        let actions = self.quantiles.normalise(&pairs.actions)?.to_dtype(DType::F32)?;
        let vars = self.params.vars();
        let updates: Vec<Update<'_>> = vars
            .iter()
            .map(|(name, var): &(String, Var)| Update {
                name,
                var,
                rate: recipe.rate,
                decays: var.rank() == 2,
                averaged: false,
            })
            .collect();
        let mut optimizer = AdamW::new(&recipe.optimizer);
        let mut losses = Vec::new();
        for batch in recipe.batches(pairs.len()) {
            let rows = Tensor::new(batch, &Device::Cpu)?;
            let output = net.forward(&actions.index_select(&rows, 0)?)?;
            let part = |tensor: &Tensor| tensor.index_select(&rows, 0);
            let loss = self.loss(&output, &part(&pairs.codes)?, &part(&pairs.embedding)?)?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            StudyError::if_not_finite("the adapter's loss", &[value])?;
            losses.push(value);
            let grads = loss.backward()?;
            drop((loss, output)); // the graph ends here: variables change in place below
            optimizer.step(&updates, &grads)?;
        }
        Ok(losses)
    }

    /// Of the network's output `(M, outputs)`: mean cross-entropy over positions and rows, or mean squared error.
    fn loss(&self, output: &Tensor, codes: &Tensor, latent: &Tensor) -> Result<Tensor, Error> {
        match self.config.target {
            Target::Codes => Ok(self.logits(output)?.cross_entropy(codes)?),
            Target::Latent => Ok((output - latent)?.sqr()?.mean_all()?),
        }
    }

    fn logits(&self, output: &Tensor) -> candle_core::Result<CodeLogits> {
        CodeLogits::new(output, self.majority.positions.len())
    }

    /// Latent actions for real actions `(..., A)` in the data set's own units; [`Latents`] has the same leading
    /// dimensions. Samples are drawn for each row by its number, so equal calls give equal codes.
    ///
    /// # Errors
    /// [`StudyError::Mismatch`] for another `A`, [`StudyError::Setting`] for [`Choice::Sample`] with
    /// [`Target::Latent`], which has no distribution to draw from; [`StudyError::NotFinite`].
    pub fn translate(&self, actions: &Tensor, choice: Choice) -> Result<Latents, Error> {
        let output = self.output(actions)?;
        let codes = self.codes(&output, choice)?;
        let latent = self.majority.positions.len() * self.codebook.dim(1)?;
        let embedding = match self.config.target {
            Target::Codes => self.codebook.index_select(&codes.flatten_all()?, 0)?.reshape(((), latent))?,
            Target::Latent => output,
        };
        let leading = &actions.dims()[..actions.rank() - 1];
        let shape = |last: usize| leading.iter().copied().chain([last]).collect::<Vec<usize>>();
        Ok(Latents {
            codes: codes.reshape(shape(self.majority.positions.len()))?,
            embedding: embedding.reshape(shape(latent))?,
        })
    }

    /// Real actions `(..., A)` to the network's output `(M, outputs)`.
    fn output(&self, actions: &Tensor) -> Result<Tensor, Error> {
        let normalised = self.quantiles.normalise(&actions.to_device(&Device::Cpu)?)?.to_dtype(DType::F32)?;
        let output = self.net.forward(&normalised.reshape(((), self.quantiles.dims()))?)?;
        let sum = output.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
        StudyError::if_not_finite("the adapter's output", &[sum])?;
        Ok(output)
    }

    /// The network's output to codes `(M, n)`.
    fn codes(&self, output: &Tensor, choice: Choice) -> Result<Tensor, Error> {
        match (self.config.target, choice) {
            (Target::Codes, choice) => Ok(self.logits(output)?.choose(choice)?),
            (Target::Latent, Choice::Argmax) => {
                let tokens = output.reshape(((), self.codebook.dim(1)?))?;
                Ok(nearest_code(&tokens, &self.codebook)?.reshape(((), self.majority.positions.len()))?)
            }
            (Target::Latent, Choice::Sample { .. }) => Err(StudyError::Setting {
                field: "choice",
                found: "sample".into(),
                expected: "argmax, since an adapter with target \"latent\" has no distribution",
            }
            .into()),
        }
    }

    /// Measures on held-out pairs of the same model; `seed` draws the sampled row.
    ///
    /// # Errors
    /// As [`Adapter::translate`]; [`StudyError::Mismatch`] for codes of another codebook.
    pub fn evaluate(&self, pairs: &ActionPairs, seed: u64) -> Result<AdapterReport, Error> {
        let entries = self.codebook.dim(0)?;
        let truth = UsageReport::of(&CodebookUsage::of(&pairs.codes, entries)?);
        let output = self.output(&pairs.actions)?;
        let predicted = |choice: Choice| -> Result<Predicted, Error> {
            let codes = self.codes(&output, choice)?;
            let accuracy = Accuracy::of(&codes, &pairs.codes)?;
            Ok(Predicted { accuracy, usage: UsageReport::of(&CodebookUsage::of(&codes, entries)?) })
        };
        let loss = self.loss(&output, &pairs.codes, &pairs.embedding)?;
        Ok(AdapterReport {
            samples: pairs.len(),
            target: self.config.target,
            loss: f64::from(loss.to_scalar::<f32>()?),
            argmax: predicted(Choice::Argmax)?,
            sampled: match self.config.target {
                Target::Codes => Some(predicted(Choice::Sample { seed })?),
                Target::Latent => None,
            },
            majority: self.majority.accuracy(&pairs.codes)?,
            truth,
        })
    }

    /// Its settings.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Units of the real actions.
    pub fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }

    /// The codebook that its codes are rows of, `(K, d)` f32.
    pub fn codebook(&self) -> &Tensor {
        &self.codebook
    }

    /// The caller's name for the model that it was trained with.
    pub fn codebook_version(&self) -> &str {
        &self.version
    }

    /// The most frequent codes of its train split.
    pub fn majority(&self) -> &Majority {
        &self.majority
    }
}

/// Numbers that the network says for a target: `n·K` logits or `n·d` coordinates.
fn outputs(target: Target, positions: usize, (entries, size): (usize, usize)) -> usize {
    match target {
        Target::Codes => positions.saturating_mul(entries),
        Target::Latent => positions.saturating_mul(size),
    }
}
