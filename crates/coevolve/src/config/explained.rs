//! The configuration as a TOML file that explains itself.

use super::ExperimentConfig;
use super::tree::below;
use crate::Error;

/// The sections, each with the type that holds its fields and the source of that type: what is printed beside a value is
/// the documentation of its field, so the two cannot part. `*` stands for any name.
const SECTIONS: [(&str, &str, &str); 24] = [
    ("", "ExperimentConfig", include_str!("../config.rs")),
    ("start", "StartConfig", include_str!("start.rs")),
    ("data", "DataConfig", include_str!("data.rs")),
    ("data.region", "Region", include_str!("../../../data/src/crop.rs")),
    ("data.crop", "CropConfig", include_str!("../../../data/src/crop.rs")),
    ("codec", "CodecConfig", include_str!("../../../dit-world/src/codec.rs")),
    ("latents", "LatentsConfig", include_str!("latents.rs")),
    ("lam", "LamConfig", include_str!("../../../lam/src/config.rs")),
    ("lam.quantizer", "QuantizerConfig", include_str!("../../../lam/src/config/quantizer.rs")),
    ("dit", "DitConfig", include_str!("../../../dit-world/src/config.rs")),
    ("dit.action", "ActionConfig", include_str!("../../../dit-world/src/config.rs")),
    ("flow", "FlowConfig", include_str!("../config.rs")),
    ("flow.time", "TimeConfig", include_str!("../../../flow/src/time.rs")),
    ("optimizer", "OptimizerConfig", include_str!("../optim.rs")),
    ("phases", "PhasesConfig", include_str!("../config.rs")),
    ("phases.*", "PhaseConfig", include_str!("../config.rs")),
    ("phases.*.rates", "Rates", include_str!("../config.rs")),
    ("remedies", "Remedies", include_str!("../config.rs")),
    ("schedule", "ScheduleConfig", include_str!("../config.rs")),
    ("evaluation", "EvaluationConfig", include_str!("../config.rs")),
    ("health", "HealthConfig", include_str!("../health.rs")),
    ("health.codebook", "HealthLimits", include_str!("../../../lam/src/health.rs")),
    ("divergence", "DivergenceConfig", include_str!("../divergence.rs")),
    ("compute", "Compute", include_str!("../../../nn/src/compute.rs")),
];

impl ExperimentConfig {
    /// [`ExperimentConfig::to_toml`] with a comment above every key that says what it means, for people.
    ///
    /// # Errors
    /// None in practice: every field has a TOML form.
    pub fn to_explained_toml(&self) -> Result<String, Error> {
        let plain = self.to_toml()?;
        let mut explained = String::with_capacity(4 * plain.len());
        let mut section = String::new();
        for line in plain.lines() {
            let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let key = match header {
                Some(header) => {
                    section = header.to_owned();
                    Some(section.clone())
                }
                // The lines of a list that goes on are indented, or close it.
                None => line
                    .split_once(" = ")
                    .filter(|(name, _)| !name.starts_with(' '))
                    .map(|(name, _)| below(&section, name)),
            };
            for comment in key.iter().flat_map(|key| meaning(key)) {
                explained.push_str(format!("# {comment}").trim_end());
                explained.push('\n');
            }
            explained.push_str(line);
            explained.push('\n');
        }
        Ok(explained)
    }
}

/// What a key means, line by line; nothing for one that is not a field of a known section.
fn meaning(key: &str) -> Vec<String> {
    let (parent, field) = key.rsplit_once('.').unwrap_or(("", key));
    let is = |pattern: &str| {
        pattern.split('.').count() == parent.split('.').count()
            && pattern
                .split('.')
                .zip(parent.split('.'))
                .all(|(wanted, found)| wanted == "*" || wanted == found)
    };
    SECTIONS
        .into_iter()
        .find(|(pattern, ..)| is(pattern))
        .map_or_else(Vec::new, |(_, name, source)| documentation(source, name, field))
}

/// The documentation of a field, as it stands in the source of its type.
fn documentation(source: &str, name: &str, field: &str) -> Vec<String> {
    let (start, wanted) = (format!("pub struct {name} {{"), format!("pub {field}:"));
    let mut lines = Vec::new();
    for line in source.lines().skip_while(|line| *line != start).skip(1).take_while(|line| *line != "}") {
        let line = line.trim();
        match line.strip_prefix("///") {
            Some(text) => lines.push(without_links(text.trim())),
            None if line.starts_with(&wanted) => return lines,
            None if line.starts_with("pub ") => lines.clear(),
            None => {}
        }
    }
    Vec::new()
}

/// Rustdoc's links as the words that they show.
fn without_links(text: &str) -> String {
    let mut text = text.replace("[`", "`");
    while let Some(end) = text.find("`]") {
        let target = text.get(end + 2..).unwrap_or_default();
        let mut depth = 0usize;
        let length = if target.starts_with('(') {
            target.find(|c: char| {
                depth = match c {
                    '(' => depth + 1,
                    ')' => depth.saturating_sub(1),
                    _ => depth,
                };
                depth == 0
            })
        } else {
            None
        };
        let after = end + 2 + length.map_or(0, |length| length + 1);
        text.replace_range(end + 1..after, "");
    }
    text
}
