//! Which package compares which files: every file of the root belongs to exactly one, or the run fails.

use std::path::{Path, PathBuf};

/// Folder, beginning of the file's name, package whose `golden` test target compares such files.
const KINDS: &[(&str, &str, &str)] = &[
    ("latent-action-model", "adamw-", "cola-coevolve"),
    ("latent-action-model", "adapter-mlp", "cola-coevolve"),
    ("latent-action-model", "code-restart", "cola-lam"),
    ("latent-action-model", "codebook-metrics", "cola-lam"),
    ("latent-action-model", "fsq-", "cola-lam"),
    ("latent-action-model", "lam-pooled-", "cola-lam"),
    ("latent-action-model", "lam-prompt-", "cola-lam"),
    ("latent-action-model", "linear-probe", "cola-coevolve"),
    ("latent-action-model", "lr-schedule", "cola-coevolve"),
    ("latent-action-model", "patch-and-position", "cola-lam"),
    ("latent-action-model", "vq-", "cola-lam"),
    ("metrics", "filler_", "cola-metrics"),
    ("metrics", "frechet", "cola-metrics"),
    ("metrics", "i3d", "cola-metrics"),
    ("metrics", "lpips_", "cola-metrics"),
    ("metrics", "pairs", "cola-metrics"),
    ("opensora-v1.2", "block_", "cola-dit-world"),
    ("opensora-v1.2", "model_", "cola-dit-world"),
    ("opensora-v1.2", "rf_add_noise", "cola-flow"),
    ("opensora-v1.2", "rf_logit_normal", "cola-flow"),
    ("opensora-v1.2", "rf_sample_", "cola-dit-world"),
    ("opensora-v1.2", "rf_timestep_transform", "cola-flow"),
    ("opensora-v1.2", "rf_training_loss_", "cola-dit-world"),
    ("opensora-v1.2", "vae_", "cola-video-vae"),
];

/// The folder that holds the areas: `COLA_GOLDEN_DIR`, or this crate's own copy of the files. A relative path is taken
/// from the workspace's folder: a test runs in its crate's, where nobody who types the variable stands.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("COLA_GOLDEN_DIR").map_or_else(|| own.join("data"), |root| own.join("../..").join(root))
}

/// Every reference file below the root that belongs to a package, in order of folder and name.
///
/// # Panics
/// If the root cannot be read or has no reference file at all: nothing compared must not look like success.
pub fn files_of(package: &str) -> Vec<PathBuf> {
    all().into_iter().filter(|file| owner(file) == Some(package)).collect()
}

/// Every reference file below the root that no package knows: a run has to fail over them, or they would go unseen.
///
/// # Panics
/// As [`files_of`].
pub fn orphans() -> Vec<PathBuf> {
    all().into_iter().filter(|file| owner(file).is_none()).collect()
}

fn owner(file: &Path) -> Option<&'static str> {
    let place = file.strip_prefix(root()).ok()?;
    let area = place.parent()?.to_str()?;
    let name = place.file_name()?.to_str()?;
    KINDS
        .iter()
        .find(|(folder, start, _)| *folder == area && name.starts_with(start))
        .map(|(_, _, owner)| *owner)
}

fn all() -> Vec<PathBuf> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error| -> ! {
            panic!(
                "{}: cannot be read ({error}); COLA_GOLDEN_DIR names the folder that holds the areas",
                folder.display()
            )
        };
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| unreadable(error)) {
            let path = entry.unwrap_or_else(|error| unreadable(error)).path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "safetensors") {
                files.push(path);
            }
        }
    }
    assert!(
        !files.is_empty(),
        "{}: no reference file; COLA_GOLDEN_DIR names the folder that holds the areas",
        root.display()
    );
    files.sort();
    files
}
