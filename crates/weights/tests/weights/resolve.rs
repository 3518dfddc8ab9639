//! Paths and ids.

use cola_weights::{Error, Hub, HubSettings, Reference, resolve};

use crate::support::folder;

fn settings(variables: &[(&str, &str)]) -> HubSettings {
    HubSettings::from_variables(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.to_string())
    })
}

#[test]
fn an_existing_path_wins() {
    let folder = folder();
    let path = folder.path().to_str().expect("a plain path");
    assert_eq!(resolve(path, &Hub::new(settings(&[]))).expect("it exists"), folder.path());
}

#[test]
fn ids_have_an_owner_a_name_and_perhaps_more() {
    let parsed = |text: &str| {
        text.parse::<Reference>().map(|found| (found.repository, found.revision, found.subfolder))
    };
    let expected = |revision: &str, folder: Option<&str>| {
        ("hpcai-tech/OpenSora-VAE-v1.2".to_string(), revision.to_string(), folder.map(str::to_string))
    };
    for (text, expected) in [
        ("hpcai-tech/OpenSora-VAE-v1.2", expected("main", None)),
        ("hpcai-tech/OpenSora-VAE-v1.2@v1", expected("v1", None)),
        ("hpcai-tech/OpenSora-VAE-v1.2@refs/pr/3", expected("refs/pr/3", None)),
        ("hpcai-tech/OpenSora-VAE-v1.2:vae/x", expected("main", Some("vae/x"))),
        ("hpcai-tech/OpenSora-VAE-v1.2@0123abc:vae", expected("0123abc", Some("vae"))),
    ] {
        assert_eq!(parsed(text).expect(text), expected);
        assert_eq!(text.parse::<Reference>().expect(text).to_string(), text);
    }
}

#[test]
fn words_that_are_neither_path_nor_id_are_refused() {
    for text in [
        "",
        "model",
        "a/b/c",
        "../b",
        "a/..",
        "/a/b",
        "./a",
        "C:\\models\\a",
        "a b/c",
        "a/b@",
        "a/b@../x",
        "a/b:",
        "a/b:../x",
        "a/b:/x",
        "a/b:x//y",
        "a/b@x@y",
        "out/model.safetensors",
        "out/model.bin",
        "ü/b",
        "a/-b",
    ] {
        let error = resolve(text, &Hub::new(settings(&[("HF_HUB_OFFLINE", "1")]))).expect_err(text);
        assert!(matches!(error, Error::Reference { .. }), "{text}: {error}");
    }
    let text = resolve("out/model.safetensors", &Hub::new(settings(&[]))).expect_err("no path").to_string();
    assert!(text.contains("no such file here"), "{text}");
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_an_id_is_answered_with_what_to_do() {
    let hub = Hub::new(settings(&[("HF_ENDPOINT", "https://mirror.example/")]));
    let text = resolve("owner/name@v1:vae", &hub).expect_err("not compiled in").to_string();
    for part in [
        "`owner/name@v1:vae`",
        "--features hub",
        "config.json and model.safetensors",
        "https://mirror.example/owner/name (revision v1, folder vae)",
        "by hand into a folder",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn settings_follow_the_hubs_own_variables() {
    let folder = folder();
    let home = folder.path().to_str().expect("a plain path");
    let found = settings(&[("HF_HOME", home), ("HF_ENDPOINT", "http://host:1/"), ("HF_HUB_OFFLINE", "true")]);
    assert_eq!(
        (found.cache, found.endpoint.as_str(), found.offline),
        (folder.path().join("hub"), "http://host:1", true)
    );
    assert_eq!(found.token, None);
    std::fs::write(folder.path().join("token"), "of the file\n").expect("a writable folder");
    assert_eq!(settings(&[("HF_HOME", home)]).token.as_deref(), Some("of the file"));
    let found =
        settings(&[("HF_HOME", home), ("HF_TOKEN", "mine"), ("HF_HUB_CACHE", "/c"), ("HF_HUB_OFFLINE", "0")]);
    assert_eq!(
        (found.token.as_deref(), found.cache.to_str(), found.offline),
        (Some("mine"), Some("/c"), false)
    );
    let found = settings(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "")]);
    assert_eq!(found.cache.to_str(), Some("/x/huggingface/hub"));
    assert_eq!(found.endpoint, "https://huggingface.co");
}

#[test]
fn a_token_is_not_shown() {
    let text = format!("{:?}", settings(&[("HF_TOKEN", "hf_secret")]));
    assert!(!text.contains("secret") && text.contains("..."), "{text}");
}
