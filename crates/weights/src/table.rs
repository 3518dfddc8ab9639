//! What a checkpoint holds, for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Weights;

/// What a checkpoint holds; see [`table`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The tensors, in the order of their names.
    pub tensors: Vec<Row>,
    /// The files' free text.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its dtype, as the format calls it, e.g. `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How many numbers it holds.
    pub parameters: usize,
    /// Its bytes in the file.
    pub bytes: u64,
    /// The name of its file.
    pub file: String,
}

/// The tensors whose names start with the same word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The word in front of the first dot.
    pub prefix: String,
    /// How many tensors.
    pub tensors: usize,
    /// Their numbers.
    pub parameters: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Lists a checkpoint; no tensor is read.
///
/// ```
/// # use candle_core::{Device, DType, Tensor};
/// # let folder = tempfile::tempdir()?;
/// # let tensor = |n| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
/// # let tensors = [("a.weight".to_string(), tensor(4)), ("a.bias".to_string(), tensor(2)), ("b".to_string(), tensor(1))];
/// # cola_weights::save(folder.path(), tensors, &serde_json::json!({}), u64::MAX)?;
/// # let weights = cola_weights::Weights::open(folder.path())?;
/// let table = cola_weights::table(&weights);
/// for group in table.groups() {
///     println!("{}: {}", group.prefix, cola_weights::parameters(group.parameters));
/// }
/// # assert_eq!(table.groups().iter().map(|group| group.parameters).collect::<Vec<_>>(), [6, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn table(weights: &Weights) -> Inventory {
    let row = |stored: crate::Stored<'_>| Row {
        name: stored.name.to_string(),
        dtype: stored.dtype.to_string(),
        shape: stored.shape.to_vec(),
        parameters: stored.parameters(),
        bytes: stored.bytes,
        file: stored.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let metadata = weights.metadata();
    Inventory {
        tensors: weights.tensors().map(row).collect(),
        metadata: metadata.into_iter().map(|(key, text)| (key.to_string(), text.to_string())).collect(),
    }
}

impl Inventory {
    /// Keeps the tensors whose names contain a text.
    pub fn filter(&mut self, text: &str) {
        self.tensors.retain(|row| row.name.contains(text));
    }

    /// Totals by the first word of the names, in their order.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for row in &self.tensors {
            let prefix = row.name.split('.').next().unwrap_or_default();
            let group = groups.entry(prefix).or_insert_with(|| Group {
                prefix: prefix.to_string(),
                tensors: 0,
                parameters: 0,
                bytes: 0,
            });
            group.tensors += 1;
            group.parameters += row.parameters;
            group.bytes += row.bytes;
        }
        groups.into_values().collect()
    }
}
