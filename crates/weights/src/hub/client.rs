//! Requests to the hub: bounded, retried, and with the token for the hub alone.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::cache::is_commit;
use crate::{Error, HubSettings, Reference, Result};

/// A listing of more bytes is no model's.
const LARGEST_LISTING: u64 = 16 << 20;

/// Redirects in a row; the hub takes one or two.
const REDIRECTS: usize = 6;

pub(super) type Response = ureq::http::Response<Body>;

/// The hub for one reference.
pub(super) struct Client<'a> {
    agent: Agent,
    settings: &'a HubSettings,
    reference: &'a Reference,
    endpoint: Uri,
}

/// What the hub says of a repository at a revision.
pub(super) struct Repository {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the hub says of a file.
pub(super) struct About {
    /// Names the content; a SHA-256 for large files.
    pub(super) etag: String,
    pub(super) size: u64,
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// Perhaps not the next time.
    Passing(String),
    Lasting(Error),
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a HubSettings, reference: &'a Reference) -> Result<Self> {
        let endpoint: Uri = settings.endpoint.parse().map_err(|error| Error::Transfer {
            url: settings.endpoint.clone(),
            reason: format!("no address of a hub ({error}), expected e.g. https://host"),
        })?;
        let wait = Some(settings.timeout);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, where it is known to whom the token may go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(wait)
            .timeout_connect(wait)
            .timeout_recv_response(wait)
            .timeout_per_read(wait)
            .user_agent(concat!("cola-weights/", env!("CARGO_PKG_VERSION")));
        if matches!(endpoint.host(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            // No proxy leads to this very machine.
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().new_agent(), settings, reference, endpoint })
    }

    /// Commit and files of the reference's revision.
    pub(super) fn repository(&self) -> Result<Repository> {
        #[derive(Deserialize)]
        struct Listing {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let Reference { repository, revision, .. } = self.reference;
        let revision = revision.replace('/', "%2F");
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.settings.endpoint);
        let wrong = |reason: String| Error::Transfer { url: url.clone(), reason };
        let text = self.retried(&url, || {
            let mut response = self.get(&url, 0)?;
            let body = response.body_mut().with_config().limit(LARGEST_LISTING).read_to_vec();
            body.map_err(|error| Failure::Passing(error.to_string()))
        })?;
        let listing: Listing = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!("found {error}, expected the hub's description of a repository"))
        })?;
        if !is_commit(&listing.sha) {
            return Err(wrong(format!("field `sha` is {:?}, expected a commit", listing.sha)));
        }
        let files = listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok(Repository { commit: listing.sha, files })
    }

    /// Where a file of a commit is.
    pub(super) fn url(&self, commit: &str, path: &str) -> String {
        let path: Vec<String> = path.split('/').map(escaped).collect();
        format!(
            "{}/{}/resolve/{commit}/{}",
            self.settings.endpoint,
            self.reference.repository,
            path.join("/")
        )
    }

    /// Name and size of a file's content.
    pub(super) fn about(&self, url: &str) -> Result<About> {
        self.retried(url, || {
            let response = self.send(url, true, 0)?;
            let headers = response.headers();
            let wrong = |reason: &str| {
                Failure::Lasting(Error::Transfer { url: url.to_string(), reason: reason.into() })
            };
            let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
            let etag = etag.ok_or_else(|| wrong("the answer has no ETag"))?;
            let etag = etag.trim_start_matches("W/").trim_matches('"').to_string();
            // Part of a path from here on.
            if !(1..=128).contains(&etag.len())
                || !etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                return Err(wrong("the ETag is no hash"));
            }
            // Behind a redirect to a store, the length is that of the redirect's own text.
            let size = text(headers, "x-linked-size")
                .or_else(|| text(headers, "content-length").filter(|_| response.status().is_success()))
                .and_then(|size| size.parse().ok())
                .ok_or_else(|| wrong("the answer does not tell the file's size"))?;
            Ok(About { etag, size })
        })
    }

    /// Starts to get a file from a byte on.
    pub(super) fn get(&self, url: &str, from: u64) -> std::result::Result<Response, Failure> {
        self.send(url, false, from)
    }

    /// Tries until it works, fails for good, or fails too often.
    pub(super) fn retried<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(reason)) => self.pause(&mut failures, url, reason)?,
            }
        }
    }

    /// Counts a failure and waits, longer each time; too many are an error.
    pub(super) fn pause(&self, failures: &mut u32, url: &str, reason: String) -> Result<()> {
        *failures += 1;
        if *failures >= self.settings.attempts.max(1) {
            let reason = format!("{reason} (attempt {failures}, the last)");
            return Err(Error::Transfer { url: without_query(url).to_string(), reason });
        }
        std::thread::sleep(Duration::from_millis(100 << (*failures).min(6)));
        Ok(())
    }

    /// One request, redirects followed. `head` stops at a redirect away from the hub, which describes the file.
    fn send(&self, url: &str, head: bool, from: u64) -> std::result::Result<Response, Failure> {
        let wrong =
            |url: &str, reason: String| Error::Transfer { url: without_query(url).to_string(), reason };
        let mut uri: Uri =
            url.parse().map_err(|error| Failure::Lasting(wrong(url, format!("no address ({error})"))))?;
        for _ in 0..=REDIRECTS {
            let mut request = if head { self.agent.head(&uri) } else { self.agent.get(&uri) };
            // Sizes and ranges are those of the file itself.
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let at_home = same_origin(&uri, &self.endpoint);
            if let Some(token) = self.settings.token.as_ref().filter(|_| at_home) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.failure(&uri, error))?;
            let status = response.status();
            if !status.is_redirection() {
                return self.checked(response, &uri.to_string(), at_home);
            }
            let Some(next) = text(response.headers(), "location").and_then(|to| joined(&uri, to)) else {
                return Err(Failure::Lasting(wrong(url, format!("{status} leads nowhere"))));
            };
            if head
                && (response.headers().contains_key("x-linked-etag") || !same_origin(&next, &self.endpoint))
            {
                return Ok(response);
            }
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(Failure::Lasting(wrong(
                    url,
                    "redirected from https to an open connection".into(),
                )));
            }
            uri = next;
        }
        Err(Failure::Lasting(wrong(url, format!("more than {REDIRECTS} redirects"))))
    }

    fn checked(
        &self,
        response: Response,
        url: &str,
        at_home: bool,
    ) -> std::result::Result<Response, Failure> {
        let (status, url) = (response.status(), without_query(url).to_string());
        let id = self.reference.to_string();
        match status.as_u16() {
            200..=299 | 416 => Ok(response),
            status @ (401 | 403) if at_home => Err(Failure::Lasting(Error::Access { id, status, url })),
            404 | 410 => Err(Failure::Lasting(Error::Absent { id, url })),
            408 | 429 | 500..=599 => Err(Failure::Passing(format!("the hub answered {status}"))),
            _ => Err(Failure::Lasting(Error::Transfer { url, reason: format!("the hub answered {status}") })),
        }
    }

    fn failure(&self, uri: &Uri, error: ureq::Error) -> Failure {
        let passing = matches!(&error, ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_))
            // Nobody listens there: the next moment will not change that.
            || matches!(&error, ureq::Error::Io(error) if error.kind() != io::ErrorKind::ConnectionRefused);
        let (url, reason) = (without_query(&uri.to_string()).to_string(), error.to_string());
        if passing { Failure::Passing(reason) } else { Failure::Lasting(Error::Transfer { url, reason }) }
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn is_partial(response: &Response) -> bool {
    response.status() == StatusCode::PARTIAL_CONTENT
}

/// Stores sign their addresses, and a signature is as good as a token: it stays out of messages.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Whether two addresses are of one server.
fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(match uri.scheme_str()? {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a).is_some() && host(a) == host(b) && port(a) == port(b)
}

/// The address that a redirect's text means.
fn joined(from: &Uri, to: &str) -> Option<Uri> {
    let scheme = from.scheme_str()?;
    if to.starts_with("http://") || to.starts_with("https://") {
        to.parse().ok()
    } else if to.starts_with("//") {
        format!("{scheme}:{to}").parse().ok()
    } else if to.starts_with('/') {
        format!("{scheme}://{}{to}", from.authority()?).parse().ok()
    } else {
        None
    }
}

/// One part of a path, as an address spells it.
fn escaped(part: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        other => format!("%{other:02X}"),
    };
    part.bytes().map(byte).collect()
}
