//! Event files, which TensorBoard reads.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::protobuf::{self, Message};
use crate::{Error, Image};

/// Writes one event file: scalars, histograms, pictures and texts over steps.
///
/// A folder may hold many event files; TensorBoard reads them by name, which is by time, as one run. So a resumed
/// run starts a file of its own and never touches those before it.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts `events.out.tfevents.<unix seconds>.<host>` in `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).map_err(Error::io(dir, "make the folder"))?;
        let host =
            std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty() && !name.contains(['/', '\\']));
        let host = host.as_deref().unwrap_or("cola");
        let mut seconds = seconds_now() as u64;
        let (path, file) = loop {
            let path = dir.join(format!("events.out.tfevents.{seconds:010}.{host}"));
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                // Two files within a second: the next name also sorts behind the last one.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => seconds += 1,
                Err(source) => return Err(Error::Io { file: path, action: "create", source }),
            }
        };
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.write(protobuf::file_version(seconds_now()))?;
        writer.flush()?;
        Ok(writer)
    }

    /// As [`EventWriter::create`], for a run that goes on at `step`: what earlier files say about this step and later
    /// ones counts no more.
    ///
    /// # Errors
    /// As [`EventWriter::create`].
    pub fn resume(dir: impl AsRef<Path>, step: i64) -> Result<Self, Error> {
        let mut writer = Self::create(dir)?;
        writer.write(protobuf::session_start(seconds_now(), step))?;
        writer.flush()?;
        Ok(writer)
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One point of a curve.
    ///
    /// # Errors
    /// A full disk.
    pub fn scalar(&mut self, tag: &str, step: i64, value: f32) -> Result<(), Error> {
        self.write(protobuf::summary(seconds_now(), step, tag, protobuf::scalar(value)))
    }

    /// How often each of the numbers `0..counts.len()` occurs, such as the codes of a codebook: one bucket each, from
    /// `index - 0.5` to `index + 0.5`. Counts above 2^53 are rounded.
    ///
    /// # Errors
    /// A full disk.
    pub fn histogram(&mut self, tag: &str, step: i64, counts: &[u64]) -> Result<(), Error> {
        let bucket = |(index, count): (usize, &u64)| (index as f64 - 0.5, index as f64 + 0.5, *count as f64);
        let buckets: Vec<(f64, f64, f64)> = counts.iter().enumerate().map(bucket).collect();
        self.write(protobuf::summary(seconds_now(), step, tag, protobuf::histogram(&buckets)))
    }

    /// A picture.
    ///
    /// # Errors
    /// As [`Image::to_png`], or a full disk.
    pub fn image(&mut self, tag: &str, step: i64, image: &Image) -> Result<(), Error> {
        let value = protobuf::image(image, &image.to_png()?);
        self.write(protobuf::summary(seconds_now(), step, tag, value))
    }

    /// A text, shown as Markdown: a configuration, a note.
    ///
    /// # Errors
    /// A full disk.
    pub fn text(&mut self, tag: &str, step: i64, text: &str) -> Result<(), Error> {
        self.write(protobuf::summary(seconds_now(), step, tag, protobuf::text(text)))
    }

    /// Hands what is buffered to the system, so that TensorBoard sees it. Dropping the writer does so too, but
    /// cannot say that it failed.
    ///
    /// # Errors
    /// A full disk.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::io(&self.path, "append to"))
    }

    /// One record: length, its checksum, the event, its checksum; little-endian.
    fn write(&mut self, event: Message) -> Result<(), Error> {
        let event = event.into_bytes();
        let length = (event.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(event.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(&event);
        record.extend(masked_crc(&event).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io(&self.path, "append to"))
    }
}

/// The checksum of a record's part, disguised as TFRecord wants it: a checksum of data that holds checksums is weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970; 0 on a clock set before it.
fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
