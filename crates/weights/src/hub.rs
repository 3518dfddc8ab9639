//! What of a repository is fetched, and in which order.

mod cache;
mod client;
mod download;

use std::fs;
use std::path::PathBuf;

use crate::index::Index;
use crate::weights::{Choice, INDEX_ENDING, choose};
use crate::{Error, Hub, Reference, Result};
use cache::Cache;
use client::Client;

/// The folder of a checkpoint in the cache, complete.
pub(crate) fn fetch(hub: &Hub, reference: &Reference) -> Result<PathBuf> {
    let cache = Cache::new(&hub.settings.cache, &reference.repository);
    if hub.settings.offline { cached(&cache, reference) } else { fetched(hub, &cache, reference) }
}

fn fetched(hub: &Hub, cache: &Cache, reference: &Reference) -> Result<PathBuf> {
    let client = Client::new(&hub.settings, reference)?;
    let repository = client.repository()?;
    let inside = reference.subfolder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
    let names: Vec<&str> = repository
        .files
        .iter()
        .filter_map(|file| file.strip_prefix(&inside))
        // Of this folder, and a path to no other on any system.
        .filter(|name| !name.contains(['/', '\\', ':']))
        .collect();
    let chosen = match choose(names.iter().copied()) {
        Choice::Open(name) => name,
        Choice::Pickle(name) => {
            return Err(Error::Pickle { origin: reference.to_string(), name: name.to_string() });
        }
        Choice::None(found) => {
            let expected = "model.safetensors or model.safetensors.index.json with its shards".into();
            return Err(Error::Repository { id: reference.to_string(), found, expected });
        }
    };
    let get = |name: &str| -> Result<PathBuf> {
        download::file(hub, &client, cache, &repository.commit, &format!("{inside}{name}"))
    };
    if names.contains(&"config.json") {
        get("config.json")?;
    }
    let file = get(chosen)?;
    if chosen.ends_with(INDEX_ENDING) {
        let index = Index::read(&file)?;
        if let Some(shard) = index.shards().into_keys().find(|shard| !names.contains(shard)) {
            return Err(Error::Repository {
                id: reference.to_string(),
                found: format!("{chosen} without the shard {shard}"),
                expected: "every shard that the index names".into(),
            });
        }
        index.shards().into_keys().try_for_each(|shard| get(shard).map(drop))?;
    }
    // Last, so that a revision that is found without the hub is complete.
    cache.set_revision(&reference.revision, &repository.commit)?;
    Ok(cache.checkpoint(&repository.commit, reference))
}

fn cached(cache: &Cache, reference: &Reference) -> Result<PathBuf> {
    let absent = |missing: String| Error::Offline {
        id: reference.to_string(),
        missing,
        cache: cache.folder().to_path_buf(),
    };
    let commit = cache
        .commit(&reference.revision)
        .ok_or_else(|| absent(format!("revision {}", reference.revision)))?;
    let folder = cache.checkpoint(&commit, reference);
    let names: Vec<String> = fs::read_dir(&folder)
        .map_err(|_| absent(format!("the folder of {reference}")))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| folder.join(name).is_file())
        .collect();
    let Choice::Open(chosen) = choose(names.iter().map(String::as_str)) else {
        return Err(absent("model.safetensors".into()));
    };
    if chosen.ends_with(INDEX_ENDING) {
        let index = Index::read(&folder.join(chosen))?;
        if let Some(shard) = index.shards().into_keys().find(|shard| !folder.join(shard).is_file()) {
            return Err(absent(shard.to_string()));
        }
    }
    Ok(folder)
}
