//! Several datasets, each drawn as often as a file says.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use cola_coevolve::ExperimentConfig;
use cola_data::{ClipOptions, Group, Mixture, MixtureConfig, Source, SourceConfig};

use super::Sources;
use super::dataset::{Asked, Found};

/// Opens all datasets of the mixture in `file`. Paths in it are relative to its folder.
pub(super) fn open(file: &Path, config: &ExperimentConfig) -> Result<Sources> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read, expected a mixture", file.display()))?;
    let mixture: MixtureConfig = toml::from_str(&text)
        .with_context(|| format!("{}: not a mixture; docs/data.md has an example", file.display()))?;
    mixture.check().with_context(|| file.display().to_string())?;
    let weights = mixture.weights()?;
    if let Some(note) = &weights.note {
        println!("mixture    {note}");
    }
    let root = file.parent().unwrap_or(Path::new("."));
    let mut memory = config.data.memory * (1u64 << 30) as f64;
    let (mut train, mut held_out, mut long) = (Vec::new(), Vec::new(), Vec::new());
    for (group, weight) in mixture.group.iter().zip(&weights.weights) {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for source in &group.source {
            let name = format!("{}/{}", group.name, source.name);
            let found = one(source, &name, root, config, &mut memory).with_context(|| name.clone())?;
            if let Err(error) = &found.long {
                println!("rollouts   {name}: none are evaluated: {error}");
            }
            for (part, clips) in
                parts.iter_mut().zip([Some(found.train), Some(found.held_out), found.long.ok()])
            {
                part.extend(clips.map(|clips| Source {
                    name: source.name.clone(),
                    weight: source.weight,
                    clips,
                }));
            }
        }
        for (groups, sources) in [&mut train, &mut held_out, &mut long].into_iter().zip(parts) {
            // Only the clips of a rollout's length can be lacking.
            if !sources.is_empty() {
                groups.push(Group { name: group.name.clone(), weight: *weight, sources });
            }
        }
    }
    let train = Mixture::new(train)?;
    println!("{}", train.plan(config.plan.steps() * config.data.batch as u64)?);
    Ok(Sources {
        train: Arc::new(train),
        held_out: Arc::new(Mixture::new(held_out)?),
        long: Arc::new(Mixture::new(long).context("clips of a rollout's length (evaluation.horizon)")?),
    })
}

fn one(
    source: &SourceConfig,
    name: &str,
    root: &Path,
    config: &ExperimentConfig,
    memory: &mut f64,
) -> Result<Found> {
    let mut open = source.open.clone();
    open.manifest = open.manifest.map(|manifest| root.join(manifest));
    let exclude = source.exclude.as_ref().map(|list| root.join(list));
    let asked = Asked {
        name,
        path: &root.join(&source.path),
        open,
        options: ClipOptions {
            camera: source.camera.clone(),
            frame_stride: source.frame_stride.unwrap_or(1),
            rate: source.rate,
            region: source.region,
            ..config.clip_options()
        },
        exclude: exclude.as_deref(),
        split: source.split.as_deref(),
    };
    asked.find(config, memory, false)
}
