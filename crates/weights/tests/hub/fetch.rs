//! What is fetched, where it is kept, who is asked.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cola_weights::{Error, Hub, HubSettings, Weights, read_config, resolve};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{COMMIT, Server, plain, sha256, weights};

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn values(folder: &Path) -> Vec<f32> {
    let weights = Weights::open(folder).expect("a checkpoint");
    weights.read("x").and_then(|x| Ok(x.to_vec1::<f32>()?)).expect("x")
}

#[test]
fn a_checkpoint_comes_into_the_cache_of_the_hubs_own_tools() {
    let (home, server) = (home(), Server::start(plain()));
    let seen: Arc<Mutex<Vec<(String, u64, u64)>>> = Arc::default();
    let log = seen.clone();
    let hub = server.hub(home.path()).on_progress(move |transfer| {
        log.lock().expect("one thread").push((transfer.file.to_string(), transfer.done, transfer.total));
    });
    let folder = resolve("owner/name", &hub).expect("a good hub");
    let repository = home.path().join("hub/models--owner--name");
    assert_eq!(folder, repository.join("snapshots").join(COMMIT));
    assert_eq!(values(&folder), [1.0, 2.0, 3.0]);
    assert_eq!(read_config::<serde_json::Value>(&folder).expect("fetched").0, json!({ "hidden_size": 8 }));
    assert_eq!(fs::read_to_string(repository.join("refs/main")).expect("a revision"), COMMIT);
    let blob = repository.join("blobs").join(sha256(&weights(&[1.0, 2.0, 3.0])));
    assert_eq!(
        fs::canonicalize(folder.join("model.safetensors")).expect("a link"),
        fs::canonicalize(blob).expect("it")
    );
    // Neither the pickle nor the words.
    let mut names: Vec<_> =
        fs::read_dir(&folder).expect("it").map(|entry| entry.expect("it").file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    let size = fs::metadata(folder.join("model.safetensors")).expect("it").len();
    let seen = seen.lock().expect("one thread");
    assert_eq!(seen.first(), Some(&("config.json".to_string(), 0, 18)));
    assert_eq!(seen.last(), Some(&("model.safetensors".to_string(), size, size)));
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let (home, server) = (home(), Server::start(plain()));
    resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    server.requests();
    let folder = resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    assert!(
        server.requests().iter().all(|request| request.method == "HEAD" || request.path.starts_with("/api/"))
    );
    assert_eq!(values(&folder), [1.0, 2.0, 3.0]);
}

#[test]
fn a_branch_that_has_moved_on_is_followed() {
    let (home, server) = (home(), Server::start(plain()));
    resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    // The same commit with another file would not happen; what matters is that the link follows the hub's word.
    server.change(|hub| drop(hub.files.insert("model.safetensors".into(), weights(&[9.0]))));
    let folder = resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    assert_eq!(values(&folder), [9.0]);
}

#[test]
fn shards_and_subfolders_are_fetched_whole() {
    let (home, server) = (home(), Server::start(plain()));
    let index = json!({ "weight_map": { "x": "model-00001-of-00001.safetensors" } }).to_string();
    server.change(|hub| {
        hub.files.insert("vae/config.json".into(), b"{}".to_vec());
        hub.files.insert("vae/model.safetensors.index.json".into(), index.into_bytes());
        hub.files.insert("vae/model-00001-of-00001.safetensors".into(), weights(&[5.0]));
        hub.files.insert("vae/model-00001-of-00002.safetensors".into(), weights(&[6.0]));
    });
    let folder = resolve("owner/name@v1:vae", &server.hub(home.path())).expect("a good hub");
    assert!(folder.ends_with(format!("snapshots/{COMMIT}/vae")), "{}", folder.display());
    assert_eq!(values(&folder), [5.0]);
    assert!(!folder.join("model-00001-of-00002.safetensors").exists(), "not in the index");
    assert!(home.path().join("hub/models--owner--name/refs/v1").is_file());
}

#[test]
fn offline_the_cache_is_enough_or_the_missing_file_is_named() {
    let (home, server) = (home(), Server::start(plain()));
    let offline = Hub::new(HubSettings { offline: true, ..server.settings(home.path()) });
    let error = resolve("owner/name", &offline).expect_err("an empty cache");
    assert!(matches!(&error, Error::Offline { missing, .. } if missing == "revision main"), "{error}");
    let fetched = resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    server.requests();
    for id in ["owner/name".to_string(), format!("owner/name@{COMMIT}")] {
        assert_eq!(values(&resolve(&id, &offline).expect("fetched before")), [1.0, 2.0, 3.0], "{id}");
    }
    fs::remove_file(fetched.join("model.safetensors")).expect("a link");
    let text = resolve("owner/name", &offline).expect_err("half a cache").to_string();
    assert!(text.contains("model.safetensors is not in") && text.contains("HF_HUB_OFFLINE"), "{text}");
    assert!(server.requests().is_empty());
}

#[test]
fn offline_a_missing_shard_is_named() {
    let (home, server) = (home(), Server::start(plain()));
    let index = json!({ "weight_map": { "x": "a-1.safetensors" } }).to_string();
    server.change(|hub| {
        hub.files.remove("model.safetensors");
        hub.files.insert("model.safetensors.index.json".into(), index.into_bytes());
        hub.files.insert("a-1.safetensors".into(), weights(&[5.0]));
    });
    let folder = resolve("owner/name", &server.hub(home.path())).expect("a good hub");
    fs::remove_file(folder.join("a-1.safetensors")).expect("a link");
    let offline = Hub::new(HubSettings { offline: true, ..server.settings(home.path()) });
    let text = resolve("owner/name", &offline).expect_err("half a cache").to_string();
    assert!(text.contains("a-1.safetensors is not in"), "{text}");
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_its_store() {
    let (home, server, store) = (home(), Server::start(plain()), Server::start(plain()));
    server.change(|hub| {
        hub.token = Some("hf_mine".into());
        hub.store = Some(store.address.clone());
        // Small files come from the hub itself.
        hub.files.remove("config.json");
    });
    let settings = HubSettings { token: Some("hf_mine".into()), ..server.settings(home.path()) };
    let folder = resolve("owner/name", &Hub::new(settings)).expect("a good hub");
    assert_eq!(values(&folder), [1.0, 2.0, 3.0]);
    let (asked, stored) = (server.requests(), store.requests());
    assert!(asked.len() >= 3 && !stored.is_empty());
    assert!(asked.iter().all(|request| request.headers.contains_key("authorization")), "{asked:?}");
    assert!(stored.iter().all(|request| !request.headers.contains_key("authorization")), "{stored:?}");
}

#[test]
fn several_at_once_fetch_one_file() {
    let (home, server) = (home(), Server::start(plain()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let folder = resolve("owner/name", &server.hub(home.path())).expect("a good hub");
                assert_eq!(values(&folder), [1.0, 2.0, 3.0]);
            });
        }
    });
    let fetched = |request: &crate::server::Request| {
        request.method == "GET" && request.path.starts_with("/store/model")
    };
    assert_eq!(server.requests().iter().filter(|request| fetched(request)).count(), 1);
}
