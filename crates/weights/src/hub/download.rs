//! One file into the cache: resumed, measured, hashed, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::cache::{Cache, make_folder};
use super::client::{About, Client, Failure, Response, is_partial, text};
use crate::{Error, Hub, Result, Transfer};

/// Bytes between the network and the disk at a time.
const PIECE: usize = 256 << 10;

/// A connection that brought fewer bytes before it broke has failed; one that brought more has only been cut.
const PROGRESS: u64 = 1 << 20;

/// Fetches a file of a commit unless its content is there; returns its path in the snapshot.
pub(super) fn file(
    hub: &Hub,
    client: &Client<'_>,
    cache: &Cache,
    commit: &str,
    path: &str,
) -> Result<PathBuf> {
    let url = client.url(commit, path);
    let about = client.about(&url)?;
    let blob = cache.blob(&about.etag);
    make_folder(blob.parent().unwrap_or(cache.folder()))?;
    let _lock = cache.lock(&about.etag)?;
    // Another process may have fetched it while this one waited.
    if fs::metadata(&blob).is_ok_and(|found| found.len() == about.size) {
        (hub.watch)(Transfer { file: path, done: about.size, total: about.size });
    } else {
        let partial = cache.blob(&format!("{}.incomplete", about.etag));
        let watch = |done| (hub.watch)(Transfer { file: path, done, total: about.size });
        fetch(client, &url, &partial, about.size, &watch)?;
        check(&url, &partial, &about)?;
        fs::rename(&partial, &blob).map_err(Error::io(&blob, "renaming"))?;
    }
    cache.link(commit, path, &about.etag)
}

/// Brings a partial file to its full size.
fn fetch(client: &Client<'_>, url: &str, partial: &Path, size: u64, watch: &dyn Fn(u64)) -> Result<()> {
    let mut failures = 0;
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(partial).map_err(Error::io(partial, "writing"))?;
    let length =
        |file: &File| file.metadata().map(|found| found.len()).map_err(Error::io(partial, "reading"));
    if length(&file)? > size {
        file.set_len(0).map_err(Error::io(partial, "writing"))?;
    }
    loop {
        let before = length(&file)?;
        watch(before);
        if before == size {
            return file.sync_all().map_err(Error::io(partial, "writing"));
        }
        let attempt = client.get(url, before).and_then(|response| {
            append(response, &mut file, before, size, watch).map_err(|failure| match failure {
                Broken::Network(reason) => Failure::Passing(reason),
                Broken::Disk(error) => Failure::Lasting(Error::io(partial, "writing")(error)),
            })
        });
        match attempt {
            Ok(()) => {}
            Err(Failure::Lasting(error)) => return Err(error),
            Err(Failure::Passing(reason)) => {
                if length(&file)? >= before + PROGRESS {
                    failures = 0;
                }
                client.pause(&mut failures, url, reason)?;
            }
        }
    }
}

enum Broken {
    Network(String),
    Disk(io::Error),
}

/// Adds what an answer holds; `Ok` means that the file has its size.
fn append(
    mut response: Response,
    file: &mut File,
    mut done: u64,
    size: u64,
    watch: &dyn Fn(u64),
) -> std::result::Result<(), Broken> {
    if is_partial(&response) {
        let range = text(response.headers(), "content-range").unwrap_or_default();
        if !range.starts_with(&format!("bytes {done}-")) {
            return Err(Broken::Network(format!("asked for bytes from {done} on, got {range:?}")));
        }
    } else {
        // The server gives the whole, or (416) has no such part: from the start, then.
        file.set_len(0).map_err(Broken::Disk)?;
        done = 0;
        if !response.status().is_success() {
            return Err(Broken::Network(format!("the hub answered {}", response.status())));
        }
    }
    let mut body = response.body_mut().as_reader();
    let mut piece = vec![0; PIECE];
    loop {
        let count = match body.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Network(error.to_string())),
        };
        if count as u64 > size - done {
            file.set_len(0).map_err(Broken::Disk)?;
            return Err(Broken::Network(format!("more than the {size} bytes that were announced")));
        }
        if count == 0 {
            return match done == size {
                true => Ok(()),
                false => Err(Broken::Network(format!("the connection ended after {done} of {size} bytes"))),
            };
        }
        file.write_all(&piece[..count]).map_err(Broken::Disk)?;
        done += count as u64;
        watch(done);
    }
}

/// Large files are named by their SHA-256; a file that is another is removed. Others are measured only.
fn check(url: &str, partial: &Path, about: &About) -> Result<()> {
    if about.etag.len() != 64 || !about.etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let reading = |error| Error::io(partial, "reading")(error);
    let mut file = File::open(partial).map_err(reading)?;
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(reading)? {
            0 => break,
            count => context.update(&piece[..count]),
        }
    }
    let found: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(&about.etag) {
        return Ok(());
    }
    fs::remove_file(partial).map_err(Error::io(partial, "removing"))?;
    Err(Error::Digest { url: url.to_string(), found, expected: about.etag.clone() })
}
