//! A hub of one repository on 127.0.0.1, in the hub's URL layout, that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cola_weights::{Hub, HubSettings};
use ring::digest::{SHA256, digest};
use safetensors::tensor::{Dtype, TensorView};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// How the hub behaves.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// Files by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// A token without which everything is 401.
    pub(crate) token: Option<String>,
    /// The store that holds the bytes; on this server if absent.
    pub(crate) store: Option<String>,
    /// Connections from the store that end after so many bytes.
    pub(crate) cuts: Vec<usize>,
    /// Answers 500 so often before the first good answer.
    pub(crate) failures: usize,
    /// Ignores ranges, as plain servers do.
    pub(crate) whole: bool,
    /// Sends other bytes than it announced.
    pub(crate) corrupt: bool,
    /// Sends more bytes than it announced.
    pub(crate) more: bool,
}

/// The running server; it ends with the process.
pub(crate) struct Server {
    pub(crate) address: String,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, shared) = (requests.clone(), behaviour.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, shared) = (seen.clone(), shared.clone());
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                    // A client that has gone away is a test's business, not the server's.
                    let _ = answer(&stream, &request, &shared);
                });
            }
        });
        Self { address, behaviour, requests }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The requests so far; forgets them.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client's settings for this hub.
    pub(crate) fn settings(&self, home: &Path) -> HubSettings {
        let home = home.to_str().expect("a plain path").to_string();
        let settings = HubSettings::from_variables(|name| match name {
            "HF_HOME" => Some(home.clone()),
            "HF_ENDPOINT" => Some(self.address.clone()),
            _ => None,
        });
        HubSettings { timeout: Duration::from_secs(5), attempts: 3, ..settings }
    }

    pub(crate) fn hub(&self, home: &Path) -> Hub {
        Hub::new(self.settings(home))
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = BTreeMap::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        headers.insert(name.to_ascii_lowercase(), value.to_string());
    }
    Some(Request { method, path, headers })
}

fn answer(mut stream: &TcpStream, request: &Request, shared: &Mutex<Behaviour>) -> std::io::Result<()> {
    let (now, cut) = {
        let mut behaviour = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let now = behaviour.clone();
        behaviour.failures = now.failures.saturating_sub(1);
        let from_store = request.path.starts_with("/store/") && request.method == "GET";
        let cut = (from_store && !now.cuts.is_empty()).then(|| behaviour.cuts.remove(0));
        (now, cut)
    };
    let status =
        |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if now.failures > 0 {
        return stream.write_all(status("500 Oops").as_bytes());
    }
    let allowed = now
        .token
        .as_ref()
        .is_none_or(|token| request.headers.get("authorization") == Some(&format!("Bearer {token}")));
    let path = request.path.as_str();
    if let Some(path) = path.strip_prefix("/store/") {
        let Some(bytes) = now.files.get(path.split('?').next().unwrap_or(path)) else {
            return stream.write_all(status("404 Not Found").as_bytes());
        };
        return send(stream, request, bytes, &now, cut);
    }
    if !allowed {
        return stream.write_all(status("401 Unauthorized").as_bytes());
    }
    if ["main", "v1"].iter().any(|name| path == format!("/api/models/owner/name/revision/{name}")) {
        let siblings: Vec<_> =
            now.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let text = serde_json::json!({ "id": "owner/name", "sha": COMMIT, "siblings": siblings }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
        return stream.write_all((head + &text).as_bytes());
    }
    let file = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/"));
    match file.and_then(|file| Some((file, now.files.get(file)?))) {
        // As the hub does it: large files lie in a store, small ones behind a redirect on the same host.
        Some((file, bytes)) => {
            let store = now.store.clone().unwrap_or_default();
            let linked = match file.ends_with(".safetensors") {
                true => format!("X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\n", sha256(bytes), bytes.len()),
                false => String::new(),
            };
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {store}/store/{file}?signature=secret\r\nX-Repo-Commit: {COMMIT}\r\n\
                 {linked}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes())
        }
        None => stream.write_all(status("404 Not Found").as_bytes()),
    }
}

fn send(
    mut stream: &TcpStream,
    request: &Request,
    bytes: &[u8],
    now: &Behaviour,
    cut: Option<usize>,
) -> std::io::Result<()> {
    let from = request
        .headers
        .get("range")
        .filter(|_| !now.whole)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let mut body = bytes[from.unwrap_or(0)..].to_vec();
    if now.corrupt {
        body.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if now.more {
        body.push(0);
    }
    let status = match from {
        Some(from) => {
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len())
        }
        None => "200 OK".into(),
    };
    // A small file is named by something that is no SHA-256.
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        &sha256(bytes)[..40],
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A checkpoint of one tensor `x`.
pub(crate) fn weights(values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![values.len()], &bytes).expect("a tensor");
    safetensors::serialize([("x", view)], None).expect("a tensor")
}

/// A hub with a configuration, one file of weights, and files that nobody needs.
pub(crate) fn plain() -> Behaviour {
    let files = [
        ("config.json", br#"{"hidden_size": 8}"#.to_vec()),
        ("model.safetensors", weights(&[1.0, 2.0, 3.0])),
        ("pytorch_model.bin", b"a program".to_vec()),
        ("README.md", b"words".to_vec()),
    ];
    Behaviour { files: files.map(|(name, bytes)| (name.to_string(), bytes)).into(), ..Behaviour::default() }
}
