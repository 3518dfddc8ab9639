//! Connections that break, hubs that refuse, answers that lie.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use cola_weights::{Error, Hub, HubSettings, Weights, resolve};
use tempfile::TempDir;

use crate::server::{Behaviour, Server, plain, sha256, weights};

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A hub with weights of some size and nothing else.
fn only(values: &[f32], change: impl FnOnce(&mut Behaviour)) -> Server {
    let mut hub = Behaviour {
        files: [("model.safetensors".to_string(), weights(values))].into(),
        ..Behaviour::default()
    };
    change(&mut hub);
    Server::start(hub)
}

fn values(server: &Server, home: &TempDir) -> Result<Vec<f32>, Error> {
    let weights = Weights::open(resolve("owner/name", &server.hub(home.path()))?)?;
    Ok(weights.read("x")?.to_vec1::<f32>()?)
}

/// The ranges asked of the store.
fn ranges(server: &Server) -> Vec<Option<String>> {
    let stored =
        |request: &crate::server::Request| request.method == "GET" && request.path.starts_with("/store/");
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| stored(request))
        .map(|request| request.headers.get("range").cloned())
        .collect()
}

#[test]
fn a_cut_connection_is_resumed_where_it_was_cut() {
    let (home, many) = (home(), [1.5; 1000]);
    let server = only(&many, |hub| hub.cuts = vec![1000, 500]);
    assert_eq!(values(&server, &home).expect("the third try"), many);
    assert_eq!(ranges(&server), [None, Some("bytes=1000-".into()), Some("bytes=1500-".into())]);
}

#[test]
fn what_a_run_has_fetched_the_next_goes_on_with() {
    let (home, many) = (home(), [1.5; 1000]);
    let server = only(&many, |hub| hub.cuts = vec![1000, 500, 100]);
    let text = values(&server, &home).expect_err("three cuts").to_string();
    assert!(
        text.contains("(attempt 3, the last)") && text.contains("a part that has arrived is kept"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    let blobs = home.path().join("hub/models--owner--name/blobs");
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights(&many))));
    assert_eq!(fs::metadata(&partial).expect("kept").len(), 1600);
    server.requests();
    assert_eq!(values(&server, &home).expect("no more cuts"), many);
    assert_eq!(ranges(&server), [Some("bytes=1600-".into())]);
    assert!(!partial.exists());
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (home, many) = (home(), [1.5; 1000]);
    let server = only(&many, |hub| (hub.cuts, hub.whole) = (vec![1000], true));
    assert_eq!(values(&server, &home).expect("the second try"), many);
}

#[test]
fn a_partial_file_that_is_too_long_is_dropped() {
    let (home, server) = (home(), only(&[1.0], |_| {}));
    let blobs = home.path().join("hub/models--owner--name/blobs");
    fs::create_dir_all(&blobs).expect("a writable folder");
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights(&[1.0])))), [0; 5000]).expect("the same");
    assert_eq!(values(&server, &home).expect("from the start"), [1.0]);
}

#[test]
fn other_bytes_than_announced_are_refused_and_removed() {
    let (home, server) = (home(), only(&[1.0], |hub| hub.corrupt = true));
    let text = values(&server, &home).expect_err("other bytes").to_string();
    assert!(
        text.contains("the SHA-256 of what arrived is") && text.contains(&sha256(&weights(&[1.0]))),
        "{text}"
    );
    assert_eq!(fs::read_dir(home.path().join("hub/models--owner--name/blobs")).expect("a folder").count(), 0);
    assert!(!home.path().join("hub/models--owner--name/refs/main").exists());
    server.change(|hub| hub.corrupt = false);
    assert_eq!(values(&server, &home).expect("the right bytes"), [1.0]);
}

#[test]
fn more_bytes_than_announced_are_refused() {
    let (home, server) = (home(), only(&[1.0], |hub| hub.more = true));
    let text = values(&server, &home).expect_err("too many bytes").to_string();
    assert!(text.contains("bytes that were announced"), "{text}");
}

#[test]
fn a_hub_that_stumbles_is_asked_again_but_not_for_ever() {
    let (home, server) = (home(), only(&[1.0], |hub| hub.failures = 2));
    assert_eq!(values(&server, &home).expect("the third try"), [1.0]);
    server.change(|hub| hub.failures = 100);
    let text = values(&server, &home).expect_err("never").to_string();
    assert!(text.contains("the hub answered 500") && text.contains("(attempt 3, the last)"), "{text}");
}

#[test]
fn a_hub_that_wants_a_token_says_how_to_give_one() {
    let (home, server) = (home(), only(&[1.0], |hub| hub.token = Some("theirs".into())));
    for token in [None, Some("another".to_string())] {
        let hub = Hub::new(HubSettings { token, ..server.settings(home.path()) });
        let error = resolve("owner/name", &hub).expect_err("no token");
        let text = error.to_string();
        assert!(matches!(error, Error::Access { status: 401, .. }), "{text}");
        assert!(text.contains("`owner/name`: the hub answered 401") && text.contains("HF_TOKEN"), "{text}");
        assert!(!text.contains("another"), "{text}");
    }
}

#[test]
fn what_the_hub_does_not_have_is_said_with_the_id() {
    let (home, server) = (home(), Server::start(plain()));
    for id in ["owner/nobody", "owner/name@gone"] {
        let text = resolve(id, &server.hub(home.path())).expect_err(id).to_string();
        assert!(
            text.contains(&format!("`{id}`: the hub answered 404")) && text.contains("check the spelling"),
            "{text}"
        );
    }
    let text = resolve("owner/name:gone", &server.hub(home.path())).expect_err("no folder").to_string();
    assert!(text.contains("the repository has no weights, expected model.safetensors"), "{text}");
}

#[test]
fn a_repository_of_pickles_is_refused_with_the_way_to_convert_them() {
    let (home, server) = (home(), Server::start(plain()));
    server.change(|hub| drop(hub.files.remove("model.safetensors")));
    let text = resolve("owner/name", &server.hub(home.path())).expect_err("pickles").to_string();
    assert!(
        text.contains("owner/name: found a PyTorch pickle") && text.contains("pytorch_model.bin"),
        "{text}"
    );
    assert!(server.requests().iter().all(|request| request.path.starts_with("/api/")), "nothing was fetched");
}

#[test]
fn an_index_that_leads_out_of_the_cache_is_refused() {
    let (home, server) = (home(), Server::start(plain()));
    server.change(|hub| {
        hub.files.remove("model.safetensors");
        let index = br#"{"weight_map": {"x": "../../evil.safetensors"}}"#;
        hub.files.insert("model.safetensors.index.json".into(), index.to_vec());
    });
    let error = resolve("owner/name", &server.hub(home.path())).expect_err("a way out");
    assert!(matches!(error, Error::Index { .. }), "{error}");
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let (home, server) = (home(), Server::start(plain()));
    let settings = HubSettings { endpoint: format!("http://{free}"), ..server.settings(home.path()) };
    let text = resolve("owner/name", &Hub::new(settings)).expect_err("nobody").to_string();
    assert!(
        text.contains(&free.to_string()) && text.contains("HF_ENDPOINT") && text.contains("HF_HUB_OFFLINE"),
        "{text}"
    );
    let settings = HubSettings { endpoint: "no address".into(), ..server.settings(home.path()) };
    let text = resolve("owner/name", &Hub::new(settings)).expect_err("no address").to_string();
    assert!(text.contains("no address of a hub"), "{text}");
}

#[test]
fn a_hub_that_keeps_silent_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let (home, server) = (home(), Server::start(plain()));
    let settings = HubSettings {
        endpoint,
        timeout: Duration::from_millis(200),
        attempts: 2,
        ..server.settings(home.path())
    };
    let text = resolve("owner/name", &Hub::new(settings)).expect_err("silence").to_string();
    assert!(text.contains("timeout"), "{text}");
}
