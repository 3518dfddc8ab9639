//! What the steps of an episode hold: read from `features.json`, or inferred from a record.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::example::Values;
use super::record::Record;
use crate::picture::{self, PIXELS};
use crate::{Error, document};

/// Where the file lies in a version's folder.
pub(super) const FILE: &str = "features.json";

/// The fields of all steps; `steps/` begins every name.
pub(super) const STEPS: &str = "steps";

/// Largest `features.json` that is read; those of Open X-Embodiment have some 20 KiB.
const LARGEST: u64 = 16 << 20;

/// Most numbers of one field in a step.
const WIDEST: usize = 1 << 16;

/// What one field holds in each step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spec {
    /// A picture with colours; its height and width if all have the same.
    Picture(Option<(usize, usize)>),
    /// This many numbers.
    Numbers { width: usize, float: bool },
    /// One text.
    Text,
}

/// Name, e.g. `steps/observation/image`, -> what it holds. What is of no use here is left out: grey and depth pictures,
/// lists of varying length, encoded tensors.
pub(super) type Specs = BTreeMap<String, Spec>;

/// Reads `features.json` as TensorFlow Datasets 4.3 and later write it; `None` if there is none or it has another layout.
///
/// # Errors
/// A file that cannot be read or is too large; pictures larger than any that is decoded.
pub(super) fn read(folder: &Path) -> Result<Option<Specs>, Error> {
    let file = folder.join(FILE);
    if !file.is_file() {
        return Ok(None);
    }
    let bytes = document::read(&file, LARGEST)?;
    let Ok(json) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
    let steps = json.pointer("/featuresDict/features/steps/sequence/feature");
    let Some(steps) = steps else { return Ok(None) };
    let mut specs = Specs::new();
    // serde_json ends at 128 levels, which bounds the recursion.
    collect(steps, STEPS, &mut specs);
    let large = specs.iter().find_map(|(name, spec)| match spec {
        Spec::Picture(Some((height, width))) if height.saturating_mul(*width) > PIXELS => {
            Some((name, format!("{height} x {width}")))
        }
        _ => None,
    });
    match large {
        None => Ok((!specs.is_empty()).then_some(specs)),
        Some((name, found)) => Err(Error::Field {
            file,
            field: format!("shape of `{name}`"),
            found,
            expected: format!("at most {PIXELS} pixels"),
            mend: "restore the file from the data set's source",
        }),
    }
}

fn collect(feature: &Value, name: &str, specs: &mut Specs) {
    if let Some(parts) = feature.pointer("/featuresDict/features").and_then(Value::as_object) {
        for (part, feature) in parts {
            collect(feature, &format!("{name}/{part}"), specs);
        }
    }
    let spec = if let Some(image) = feature.get("image") {
        match *shape(image).unwrap_or_default() {
            [Some(height), Some(width), Some(3 | 4)] if height > 0 && width > 0 => {
                Some(Spec::Picture(Some((height, width))))
            }
            [_, _, Some(3 | 4)] => Some(Spec::Picture(None)),
            _ => None,
        }
    } else if let Some(tensor) = feature.get("tensor") {
        numbers(tensor)
    } else {
        feature.get("text").map(|_| Spec::Text)
    };
    if let Some(spec) = spec {
        specs.insert(name.to_owned(), spec);
    }
}

fn numbers(tensor: &Value) -> Option<Spec> {
    let plain = tensor.get("encoding").is_none_or(|encoding| encoding == "none");
    let dtype = tensor.get("dtype").and_then(Value::as_str).filter(|_| plain)?;
    let shape = shape(tensor)?;
    if matches!(dtype, "string" | "object") {
        return shape.is_empty().then_some(Spec::Text);
    }
    let width = shape.iter().try_fold(1, |width: usize, side| width.checked_mul((*side)?))?;
    let float = dtype.contains("float");
    let legal = float || dtype.contains("int") || dtype == "bool";
    (legal && (1..=WIDEST).contains(&width)).then_some(Spec::Numbers { width, float })
}

/// Lengths of the axes; `None` for one that varies. No axis at all is written as no `dimensions`.
fn shape(feature: &Value) -> Option<Vec<Option<usize>>> {
    let Some(sides) = feature.get("shape")?.get("dimensions") else { return Some(Vec::new()) };
    let side = |side: &Value| match side {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|side| side.try_into().ok()),
    };
    Some(sides.as_array()?.iter().map(side).collect())
}

/// What a record of `frames` steps holds, told by its bytes: the first picture gives the size of all.
pub(super) fn infer(record: &Record, frames: usize) -> Specs {
    let spec = |name: &str| {
        // Lists that do not fit the steps are of no use, whatever they are.
        let values = record.values(name, frames.saturating_mul(WIDEST)).ok()?;
        let width = values.len() / frames.max(1);
        let fits = width > 0 && values.len() == width * frames;
        match values {
            Values::Blobs(blobs) if fits && width == 1 => match picture::head(blobs.first()?) {
                Some(head) => head.colour.then_some(Spec::Picture(Some((head.height, head.width)))),
                None => Some(Spec::Text),
            },
            Values::Floats(_) if fits => Some(Spec::Numbers { width, float: true }),
            Values::Integers(_) if fits => Some(Spec::Numbers { width, float: false }),
            _ => None,
        }
    };
    let names = record.names().filter(|name| name.starts_with("steps/"));
    names.filter_map(|name| Some((name.to_owned(), spec(name)?))).collect()
}
