//! An adapter as one safetensors file: network, units and codebook as tensors, the rest as JSON in the metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cola_files::write_atomically;
use cola_nn::{Params, read_tensors};
use serde::{Deserialize, Serialize};

use super::{Adapter, AdapterConfig, AdapterNet, Majority, outputs};
use crate::Error;
use crate::study::StudyError;
use crate::study::quantiles::Quantiles;

/// Version of the file.
const FORMAT: u32 = 1;
/// Key of the JSON object in the metadata.
const KEY: &str = "adapter";

/// What is no tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    codebook_version: String,
    config: AdapterConfig,
    majority: Majority,
}

impl Adapter {
    /// Writes everything to one file (aside, synced, renamed): tensors `fc1.*`, `fc2.*` and `codebook` in f32,
    /// `quantiles.low` and `quantiles.high` in f64, and the metadata `adapter`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, file: &Path) -> Result<(), Error> {
        let header = Header {
            format: FORMAT,
            codebook_version: self.version.clone(),
            config: self.config.clone(),
            majority: self.majority.clone(),
        };
        let broken = |found: String| StudyError::AdapterFile {
            file: file.to_path_buf(),
            what: "whole file".into(),
            found,
            expected: "an adapter that the format can hold".into(),
        };
        let text = serde_json::to_string(&header).map_err(|error| broken(error.to_string()))?;
        let mut tensors = self.params.tensors();
        tensors.insert("codebook".into(), self.codebook.clone());
        for (name, values) in [("low", self.quantiles.low()), ("high", self.quantiles.high())] {
            tensors.insert(format!("quantiles.{name}"), Tensor::new(values, &Device::Cpu)?);
        }
        let metadata = HashMap::from([(KEY.to_string(), text)]);
        let bytes =
            safetensors::serialize(&tensors, Some(metadata)).map_err(|error| broken(error.to_string()))?;
        let doing = "writing the adapter";
        write_atomically(file, &bytes).map_err(|source| Error::Io { path: file.into(), doing, source })
    }

    /// Reads what [`Adapter::save`] wrote, for the model that the caller calls `codebook_version`.
    ///
    /// # Errors
    /// [`StudyError::CodebookVersion`] with both names, [`StudyError::AdapterFile`] for anything that no adapter has
    /// (tensors that are absent, foreign, of another shape or not finite, other metadata), [`Error::Params`] and
    /// [`Error::Io`] for files that cannot be read at all.
    pub fn load(file: &Path, codebook_version: &str) -> Result<Self, Error> {
        let wrong = |what: &str, found: String, expected: String| StudyError::AdapterFile {
            file: file.to_path_buf(),
            what: what.into(),
            found,
            expected,
        };
        let tensors = read_tensors(file)?;
        let header = header(file)?;
        if header.format != FORMAT {
            return Err(wrong("format", header.format.to_string(), FORMAT.to_string()).into());
        }
        if header.codebook_version != codebook_version {
            return Err(StudyError::CodebookVersion {
                file: file.to_path_buf(),
                found: header.codebook_version,
                expected: codebook_version.into(),
            }
            .into());
        }
        let Header { config, majority, .. } = header;
        // The codebook and the quantiles say how large the rest has to be.
        let absent = |name: &str| wrong(name, "no such tensor".into(), "one".into());
        let size = |name: &str| tensors.get(name).map(|tensor| tensor.dims()).ok_or_else(|| absent(name));
        let (&[entries, width], &[inputs]) = (size("codebook")?, size("quantiles.low")?) else {
            let found = format!("{:?} and {:?}", size("codebook")?, size("quantiles.low")?);
            return Err(wrong("codebook and quantiles.low", found, "a matrix and a vector".into()).into());
        };
        let positions = majority.positions.len();
        let known = majority.positions.iter().chain(&majority.joint).all(|code| (*code as usize) < entries);
        if positions == 0 || majority.joint.len() != positions || !known || width == 0 {
            let expected = format!("as many codes in both, below the codebook's {entries}");
            return Err(wrong("majority", format!("{majority:?}"), expected).into());
        }
        let outputs = outputs(config.target, positions, (entries, width));
        let expected: BTreeMap<&str, (Vec<usize>, DType)> = BTreeMap::from([
            ("codebook", (vec![entries, width], DType::F32)),
            ("quantiles.low", (vec![inputs], DType::F64)),
            ("quantiles.high", (vec![inputs], DType::F64)),
            ("fc1.weight", (vec![config.hidden, inputs], DType::F32)),
            ("fc1.bias", (vec![config.hidden], DType::F32)),
            ("fc2.weight", (vec![outputs, config.hidden], DType::F32)),
            ("fc2.bias", (vec![outputs], DType::F32)),
        ]);
        if let Some(name) = tensors.keys().find(|name| !expected.contains_key(name.as_str())) {
            return Err(wrong(name, "a tensor".into(), "none of that name".into()).into());
        }
        for (name, (shape, dtype)) in &expected {
            let tensor = tensors.get(*name).ok_or_else(|| absent(name))?;
            if tensor.dims() != shape || tensor.dtype() != *dtype {
                let found = format!("{:?} {:?}", tensor.dtype(), tensor.dims());
                return Err(wrong(name, found, format!("{dtype:?} {shape:?}")).into());
            }
            let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(wrong(name, value.to_string(), "finite numbers".into()).into());
            }
        }
        let bounds = |name: &str| tensors[name].to_vec1::<f64>();
        let quantiles = Quantiles::new(bounds("quantiles.low")?, bounds("quantiles.high")?)
            .map_err(|error| wrong("quantiles", error.to_string(), "bounds of a line".into()))?;
        let params = Params::seeded(config.recipe.seed, DType::F32, &Device::Cpu);
        for name in ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"] {
            params.set(name, &tensors[name])?;
        }
        let net = AdapterNet::new(inputs, config.hidden, outputs, params.frozen())?;
        let (version, codebook) = (codebook_version.to_string(), tensors["codebook"].clone());
        Ok(Self { config, quantiles, codebook, version, majority, params, net })
    }
}

/// The JSON object of a file's metadata.
fn header(file: &Path) -> Result<Header, Error> {
    let wrong = |found: String| StudyError::AdapterFile {
        file: file.to_path_buf(),
        what: format!("metadata `{KEY}`"),
        found,
        expected: "the description of an adapter".into(),
    };
    let metadata = cola_nn::Header::open(file)?.metadata;
    let text = metadata.get(KEY).ok_or_else(|| wrong("none".into()))?;
    Ok(serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?)
}
