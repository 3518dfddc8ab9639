//! Latent actions from a file or from nowhere.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use cola_lam::LatentActionModel;
use cola_nn::read_tensors;
use cola_random::{normals, stream, uniforms};

use crate::rollout::origin::ActionSpace;

/// The tensor's name in a file.
const NAME: &str = "actions";

/// One latent action for each transition.
#[derive(Clone, Debug)]
pub enum Actions {
    /// `(N, action_dim)` f32.
    Vectors(Tensor),
    /// `(N, tokens)` u32, places in the model's codebook.
    Codes(Tensor),
}

impl Actions {
    /// The tensor `actions` of a safetensors file.
    ///
    /// # Errors
    /// No such tensor, another width, codes for a model without codebook or beyond its entries, numbers that are not
    /// finite.
    pub fn read(file: &Path, space: ActionSpace) -> Result<Self> {
        let tensors = read_tensors(file)?;
        let file = file.display();
        let Some(tensor) = tensors.get(NAME) else {
            let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
            bail!("{file}: there is no tensor `{NAME}`; found {}", names.join(", "));
        };
        let whole = tensor.dtype().is_int();
        let (width, kind) = match (whole, space.codebook) {
            (true, None) => bail!(
                "{file}: tensor `{NAME}` holds whole numbers ({:?}), but the model has no codebook; expected floats of \
                 shape [N, {}]",
                tensor.dtype(),
                space.dim
            ),
            (true, Some((tokens, _))) => (tokens, "codes"),
            (false, _) => (space.dim, "numbers"),
        };
        let count = match tensor.dims() {
            [count, found] if *count > 0 && *found == width => *count,
            found => {
                let codes = space.codebook.map_or(String::new(), |(tokens, _)| {
                    format!("; or, as codes in whole numbers, [N, {tokens}]")
                });
                bail!(
                    "{file}: tensor `{NAME}` has shape {found:?}, expected [N, {width}]: {width} {kind} for each of N \
                     transitions, N one less than the frames{codes}"
                );
            }
        };
        if !whole {
            let values = tensor.to_dtype(DType::F32)?;
            let flat = values.flatten_all()?.to_vec1::<f32>()?;
            if let Some(place) = flat.iter().position(|value| !value.is_finite()) {
                let (row, column) = (place / width, place % width);
                bail!(
                    "{file}: tensor `{NAME}` is {} at [{row}, {column}]; expected finite numbers",
                    flat[place]
                );
            }
            return Ok(Self::Vectors(values));
        }
        let entries = space.codebook.map_or(0, |(_, entries)| entries);
        let codes = tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
        if let Some(wrong) = codes.iter().find(|code| !(0..entries as i64).contains(code)) {
            bail!(
                "{file}: tensor `{NAME}` holds the code {wrong}; the codebook has 0 to {}",
                entries.saturating_sub(1)
            );
        }
        let codes: Vec<u32> = codes.into_iter().map(|code| code as u32).collect();
        Ok(Self::Codes(Tensor::from_vec(codes, (count, width), &Device::Cpu)?))
    }

    /// Random ones: codes where there is a codebook, standard normal numbers elsewhere.
    ///
    /// # Errors
    /// The device's.
    pub fn random(space: ActionSpace, count: usize, seed: u64) -> Result<Self> {
        let mut rng = stream(seed, "random actions", 0, 0);
        let Some((tokens, entries)) = space.codebook else {
            let values = normals(count * space.dim, &mut rng);
            return Ok(Self::Vectors(Tensor::from_vec(values, (count, space.dim), &Device::Cpu)?));
        };
        let codes: Vec<u32> = uniforms(count * tokens, 0.0, entries as f32, &mut rng)
            .into_iter()
            .map(|code| (code as u32).min(entries as u32 - 1))
            .collect();
        Ok(Self::Codes(Tensor::from_vec(codes, (count, tokens), &Device::Cpu)?))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let (Self::Vectors(tensor) | Self::Codes(tensor)) = self;
        tensor.dims()[0]
    }

    /// As the model takes them: `(1, N, action_dim)`.
    ///
    /// # Errors
    /// Codes without a latent action model.
    pub fn embed(&self, lam: Option<&LatentActionModel>, device: &Device) -> Result<Tensor> {
        match self {
            Self::Vectors(values) => Ok(values.unsqueeze(0)?.to_device(device)?),
            Self::Codes(codes) => {
                let lam = lam.context("codes need the latent action model that they come from")?;
                Ok(lam.embed(&codes.unsqueeze(0)?.to_device(device)?)?)
            }
        }
    }
}

impl std::fmt::Display for Actions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vectors(values) => write!(f, "{} of {} numbers each", self.count(), values.dims()[1]),
            Self::Codes(codes) => write!(f, "{} of {} codes each", self.count(), codes.dims()[1]),
        }
    }
}
