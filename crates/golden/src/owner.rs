//! Which package compares which files: every file of the root belongs to exactly one, or the run fails.

use std::path::{Path, PathBuf};

/// Folder, beginning of the file's name, package whose `golden` test target compares such files.
const KINDS: &[(&str, &str, &str)] = &[
    ("latent-action-model", "adamw-", "cola-coevolve"),
    ("latent-action-model", "code-restart", "cola-lam"),
    ("latent-action-model", "codebook-metrics", "cola-lam"),
    ("latent-action-model", "lam-pooled-", "cola-lam"),
    ("latent-action-model", "patch-and-position", "cola-lam"),
    ("latent-action-model", "vq-single-", "cola-lam"),
    ("latent-action-model", "vq-two-token-", "cola-lam"),
    ("opensora-v1.2", "block_", "cola-dit-world"),
    ("opensora-v1.2", "model_", "cola-dit-world"),
    ("opensora-v1.2", "rf_add_noise", "cola-flow"),
    ("opensora-v1.2", "rf_logit_normal", "cola-flow"),
    ("opensora-v1.2", "rf_sample_", "cola-dit-world"),
    ("opensora-v1.2", "rf_timestep_transform", "cola-flow"),
    ("opensora-v1.2", "rf_training_loss_", "cola-dit-world"),
    ("opensora-v1.2", "vae_", "cola-video-vae"),
];

/// The folder that holds the areas: `COLA_GOLDEN_DIR`, or this crate's own copy of the files.
pub fn root() -> PathBuf {
    std::env::var_os("COLA_GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), PathBuf::from)
}

/// Every reference file below the root that belongs to a package, in order of folder and name.
pub fn files_of(package: &str) -> Vec<PathBuf> {
    all().into_iter().filter(|file| owner(file) == Some(package)).collect()
}

/// Every reference file below the root that no package knows: a run has to fail over them, or they would go unseen.
pub fn orphans() -> Vec<PathBuf> {
    all().into_iter().filter(|file| owner(file).is_none()).collect()
}

fn owner(file: &Path) -> Option<&'static str> {
    let area = file.parent()?.file_name()?.to_str()?;
    let name = file.file_name()?.to_str()?;
    KINDS
        .iter()
        .find(|(folder, start, _)| *folder == area && name.starts_with(start))
        .map(|(_, _, owner)| *owner)
}

fn all() -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let mut files: Vec<PathBuf> = entries(&root())
        .iter()
        .flat_map(|area| entries(area))
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    files.sort();
    files
}
