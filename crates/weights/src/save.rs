//! A checkpoint in the hub's layout, written tensor by tensor.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use candle_core::Tensor;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Value, json};

use crate::weights::{INDEX, WHOLE};
use crate::{Error, Result, numbers};

/// Writes `config.json` and the tensors: to `model.safetensors`, or, where that would be of more than
/// `max_shard_bytes`, to shards `model-00001-of-0000N.safetensors` and `model.safetensors.index.json`. Published loaders
/// find both. A tensor that is larger than a shard gets one of its own.
///
/// Tensors are written from where they are; `params.tensors()` of [`cola_nn::Params`] shares storage, so nothing is held
/// twice. Each file is written aside, synced and renamed, the one that makes the folder a checkpoint last: a save that is
/// killed leaves a folder that is none, into which the next may save.
///
/// ```
/// # use candle_core::{DType, Device};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let params = cola_nn::Params::seeded(0, DType::F32, &Device::Cpu);
/// cola_nn::Linear::new(4, 2, params.trainable().pp("head"))?;
/// cola_weights::save(folder, params.tensors(), &serde_json::json!({ "width": 4 }), 5_000_000_000)?;
/// assert!(folder.join("model.safetensors").is_file() && folder.join("config.json").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Occupied`] for a folder that holds a checkpoint; [`Error::Tensor`] for a dtype that has no place in a file;
/// [`Error::Io`].
pub fn save(
    folder: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    config: &Value,
    max_shard_bytes: u64,
) -> Result<()> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating"))?;
    if let Some(found) = [WHOLE, INDEX].into_iter().find(|name| folder.join(name).exists()) {
        // Shards overwritten one by one would belong to neither checkpoint while the index still joins them.
        return Err(Error::Occupied { folder: folder.to_path_buf(), found: found.to_string() });
    }
    let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    write_json(&folder.join("config.json"), config)?;
    let shards = split(&tensors, max_shard_bytes);
    if shards.len() <= 1 {
        return write(&folder.join(WHOLE), shards.into_iter().next().unwrap_or_default());
    }
    let (count, mut map) = (shards.len(), BTreeMap::new());
    for (number, shard) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        map.extend(shard.iter().map(|(tensor, _)| (tensor.to_string(), name.clone())));
        write(&folder.join(name), shard)?;
    }
    let total: u64 = tensors.values().map(size).sum();
    write_json(&folder.join(INDEX), &json!({ "metadata": { "total_size": total }, "weight_map": map }))
}

type Named<'a> = (&'a str, &'a Tensor);

fn size(tensor: &Tensor) -> u64 {
    tensor.elem_count() as u64 * tensor.dtype().size_in_bytes() as u64
}

/// In the order of names, as many to a shard as fit.
fn split(tensors: &BTreeMap<String, Tensor>, most: u64) -> Vec<Vec<Named<'_>>> {
    let mut shards: Vec<Vec<Named<'_>>> = Vec::new();
    let mut room = 0;
    for (name, tensor) in tensors {
        match shards.last_mut().filter(|_| size(tensor) <= room) {
            Some(shard) => {
                room -= size(tensor);
                shard.push((name, tensor));
            }
            None => {
                room = most.saturating_sub(size(tensor));
                shards.push(vec![(name, tensor)]);
            }
        }
    }
    shards
}

fn write_json(file: &Path, value: &Value) -> Result<()> {
    cola_files::write_atomically(file, format!("{value:#}\n").as_bytes()).map_err(Error::io(file, "writing"))
}

fn write(file: &Path, mut tensors: Vec<Named<'_>>) -> Result<()> {
    let mut infos = Vec::with_capacity(tensors.len());
    let mut end = 0;
    // Wide numbers first, as the format's own writer does: every tensor starts at a multiple of its number's size.
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size_in_bytes()));
    for (name, tensor) in &tensors {
        let Some(dtype) = numbers::stored_dtype(tensor.dtype()) else {
            return Err(Error::Tensor {
                file: file.to_path_buf(),
                name: name.to_string(),
                found: format!("{:?} {:?}", tensor.dtype(), tensor.dims()),
                expected: "U8, U32, I16, I32, I64, BF16, F16, F32 or F64".into(),
            });
        };
        let begin = end;
        end += size(tensor) as usize;
        infos.push((
            name.to_string(),
            TensorInfo { dtype, shape: tensor.dims().to_vec(), data_offsets: (begin, end) },
        ));
    }
    // Published loaders ask which library's tensors these are.
    let text = HashMap::from([("format".to_string(), "pt".to_string())]);
    let header = Metadata::new(Some(text), infos).map_err(io::Error::other);
    let header =
        header.and_then(|header| Ok(serde_json::to_vec(&header)?)).map_err(Error::io(file, "writing"));
    let mut header = header?;
    header.resize(header.len().next_multiple_of(8), b' ');
    cola_files::write_atomically_with(file, |to| {
        to.write_all(&(header.len() as u64).to_le_bytes())?;
        to.write_all(&header)?;
        tensors.iter().try_for_each(|(_, tensor)| {
            numbers::write(tensor, to).map_err(|error| match error {
                candle_core::Error::Io(error) => error,
                other => io::Error::other(other),
            })
        })
    })
    .map_err(Error::io(file, "writing"))
}
