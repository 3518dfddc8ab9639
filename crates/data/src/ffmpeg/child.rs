//! A program at work: its output in pieces, its end, and its last words.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Error;

/// A program that writes nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// Pieces that may wait to be taken; the program itself waits after that.
const WAITING: usize = 2;

/// Longest line, and most of the complaints, that is kept; bytes.
const LONGEST: u64 = 4096;

/// How the output is cut.
#[derive(Clone, Copy)]
pub(super) enum Chunks {
    /// Into pieces of so many bytes.
    Bytes(usize),
    /// Into lines, without their ends.
    Lines,
}

/// A running program; dropping it ends it.
pub(super) struct Child {
    file: PathBuf,
    program: OsString,
    process: std::process::Child,
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    complaint: Option<JoinHandle<String>>,
}

/// `file` as an argument: a protocol before it keeps the program from reading it as an option or as an address.
pub(super) fn input(file: &Path) -> OsString {
    let mut argument = OsString::from("file:");
    argument.push(file);
    argument
}

/// The program `name`, or what `COLA_FFMPEG` says.
fn program(name: &str) -> OsString {
    match std::env::var_os("COLA_FFMPEG").filter(|named| !named.is_empty()) {
        None => name.into(),
        Some(ffmpeg) if name == "ffmpeg" => ffmpeg,
        Some(ffmpeg) => {
            let extension = Path::new(&ffmpeg).extension().map(OsStr::to_owned);
            let beside = Path::new(&ffmpeg).with_file_name(name);
            extension.map_or(beside.clone(), |extension| beside.with_extension(extension)).into_os_string()
        }
    }
}

impl Child {
    /// Starts the program `name` for `file`.
    pub(super) fn start(
        file: &Path,
        name: &str,
        arguments: &[OsString],
        chunks: Chunks,
    ) -> Result<Self, Error> {
        let program = program(name);
        let failed = |found: String| Error::Program {
            file: file.to_owned(),
            program: program.to_string_lossy().into_owned(),
            found,
        };
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
        let (Some(output), Some(complaints)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(failed("has no output".into()));
        };
        let (sender, pieces) = sync_channel(WAITING);
        std::thread::spawn(move || {
            let mut output = BufReader::with_capacity(1 << 16, output);
            while let Some(piece) = piece(&mut output, chunks).transpose() {
                let failed = piece.is_err();
                if sender.send(piece).is_err() || failed {
                    return;
                }
            }
        });
        let complaint = Some(std::thread::spawn(move || last_line(complaints)));
        Ok(Self { file: file.to_owned(), program, process, pieces, complaint })
    }

    /// The next piece of the output; `None` once the program has ended well.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.pieces.recv_timeout(SILENCE) {
            Ok(Ok(piece)) => Ok(Some(piece)),
            Ok(Err(error)) => Err(self.failed(&format!("stopped in the middle of a picture ({error})"))),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.failed(&format!("wrote nothing for {} s", SILENCE.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => match self.process.wait() {
                Ok(status) if status.success() => Ok(None),
                Ok(status) => Err(self.failed(&format!("ended with {status}"))),
                Err(error) => Err(self.failed(&format!("cannot be waited for ({error})"))),
            },
        }
    }

    /// Ends the program and says what it did and said last.
    fn failed(&mut self, what: &str) -> Error {
        self.end();
        let said = self.complaint.take().and_then(|complaint| complaint.join().ok()).unwrap_or_default();
        Error::Program {
            file: self.file.clone(),
            program: self.program.to_string_lossy().into_owned(),
            found: if said.is_empty() { what.to_owned() } else { format!("{what}: {said}") },
        }
    }

    fn end(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// The next piece of `output`; `None` at its end.
fn piece(output: &mut impl BufRead, chunks: Chunks) -> std::io::Result<Option<Vec<u8>>> {
    let mut piece = Vec::new();
    match chunks {
        Chunks::Bytes(size) => {
            output.take(size as u64).read_to_end(&mut piece)?;
            match piece.len() {
                0 => return Ok(None),
                found if found < size => return Err(ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        Chunks::Lines => {
            if output.take(LONGEST).read_until(b'\n', &mut piece)? == 0 {
                return Ok(None);
            }
            piece.truncate(piece.trim_ascii_end().len());
        }
    }
    Ok(Some(piece))
}

/// The last line that is not empty.
fn last_line(complaints: impl Read) -> String {
    let mut complaints = BufReader::new(complaints);
    let mut last = String::new();
    let mut line = Vec::new();
    while complaints.by_ref().take(LONGEST).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() {
            last = text;
        }
        line.clear();
    }
    last
}
