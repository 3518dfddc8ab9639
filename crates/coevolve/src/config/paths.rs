//! The paths of a configuration and what they are relative to.

use std::path::{Path, PathBuf};

use super::ExperimentConfig;

impl ExperimentConfig {
    /// With every path that is relative taken from `folder`; empty ones stay empty.
    pub fn with_paths_from(&self, folder: &Path) -> Self {
        let mut config = self.clone();
        // A name on the hub looks like a path, too.
        let vae = folder.join(&config.latents.vae);
        if !config.latents.vae.as_os_str().is_empty() && vae.exists() {
            config.latents.vae = vae.components().collect();
        }
        for path in config.paths() {
            if !path.as_os_str().is_empty() && path.is_relative() {
                // By components, so that `./clips` does not leave a dot in the middle.
                *path = folder.join(&*path).components().collect();
            }
        }
        config
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let (data, start, cache) = (&mut self.data, &mut self.start, &mut self.latents.cache);
        let data = [&mut data.path, &mut data.manifest, &mut data.exclude];
        data.into_iter()
            .chain([&mut start.init_from, &mut start.lam_from, cache])
            .chain(start.generator.folder_mut())
    }
}
