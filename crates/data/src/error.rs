//! What can be wrong with a data set or a request: where, what was found, what was expected, what to do.

use std::path::PathBuf;

/// A data set that cannot be read as asked, or a request that makes no sense for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data set's folder is not there.
    #[error("{path}: no such folder; check --data: it names the folder that holds meta/info.json")]
    MissingFolder {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A file that the metadata promise is not there.
    #[error("{file}: no such file, expected {expected}; {mend}")]
    MissingFile {
        /// The file or folder looked for.
        file: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// The operating system could not read a file.
    #[error("{file}: cannot be read; check the permissions and the disk")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The operating system could not write a file.
    #[error(
        "{file}: cannot be written; check that the folder exists, its permissions and the room on the disk"
    )]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system or the format's writer says.
        source: std::io::Error,
    },
    /// A video could not be written.
    #[error(transparent)]
    Video(Box<cola_mp4::Error>),
    /// A table's file name does not tell a format.
    #[error(
        "{file}: extension of a table: found {found:?}, expected .parquet or .csv; name the file accordingly"
    )]
    TableFormat {
        /// The file asked for.
        file: PathBuf,
        /// Its extension; empty if it has none.
        found: String,
    },
    /// Rows do not fit the columns of the table they are written to.
    #[error("{file}: rows for this table: found {found}, expected {expected}; nothing of them was written")]
    Rows {
        /// The table.
        file: PathBuf,
        /// What was handed over.
        found: String,
        /// What the columns ask for.
        expected: String,
    },
    /// A JSON file does not hold what it should.
    #[error("{file}: not the metadata of a data set; restore the file from the data set's source")]
    Json {
        /// The file.
        file: PathBuf,
        /// Line, column and complaint.
        source: serde_json::Error,
    },
    /// The data set has another version of the format.
    #[error(
        "{file}: `codebase_version`: found {found}, this reader reads v2.0, v2.1 and v3.0; convert v1.x with LeRobot's \
         own `convert_dataset_v1_to_v2`, and write anything newer as v3.0"
    )]
    Version {
        /// `meta/info.json`, or `meta_data/info.json` of v1.
        file: PathBuf,
        /// The version it names.
        found: String,
    },
    /// A field of a file has a value that cannot be right.
    #[error("{file}: {field}: found {found}, expected {expected}; {mend}")]
    Field {
        /// The file.
        file: PathBuf,
        /// Name of the field, column or box.
        field: String,
        /// Its value.
        found: String,
        /// Values that make sense.
        expected: String,
        /// What to do.
        mend: &'static str,
    },
    /// The data set does not define the split.
    #[error(
        "{file}: no split `{wanted}` in `splits`, found {found:?}; use one of these or add it as an episode range, \
         such as \"{wanted}\": \"560:600\""
    )]
    Split {
        /// `meta/info.json`.
        file: PathBuf,
        /// The name asked for.
        wanted: String,
        /// The names it has.
        found: Vec<String>,
    },
    /// The split holds no episode.
    #[error(
        "{file}: split `{split}` is {found:?}, expected at least one episode; widen the range in `splits`"
    )]
    EmptySplit {
        /// `meta/info.json`.
        file: PathBuf,
        /// The split's name.
        split: String,
        /// Its range as written.
        found: String,
    },
    /// The data set has no such camera, or none at all.
    #[error(
        "{file}: no camera {wanted}, found {found:?}; choose one of these (data.camera in the configuration)"
    )]
    Camera {
        /// `meta/info.json`.
        file: PathBuf,
        /// The key asked for.
        wanted: String,
        /// The cameras it has.
        found: Vec<String>,
    },
    /// A file is not a readable parquet file.
    #[error("{file}: not a readable parquet file; copy it again from the data set's source")]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What the parquet reader says.
        source: parquet::errors::ParquetError,
    },
    /// A parquet file lacks a column.
    #[error("{file}: no column `{column}`, found {found:?}; write the data set again with LeRobot v3.0")]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column looked for.
        column: String,
        /// The columns it has.
        found: Vec<String>,
    },
    /// A parquet column has another physical type.
    #[error("{file}: column `{column}`: found {found}, expected {expected}; write the column with that type")]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
        /// The types that can be read.
        expected: &'static str,
    },
    /// The format's reader gave up on a damaged file instead of reporting it.
    #[error("{file}: damaged, its reader stopped on it: {found}; copy it again from the data set's source")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The reader's last words.
        found: String,
    },
    /// A part of a file cannot be read as HDF5.
    #[cfg(feature = "hdf5")]
    #[error("{file}: {object} cannot be read as HDF5; copy the file again from the data set's source")]
    Hdf5 {
        /// The file.
        file: PathBuf,
        /// The group, dataset or attribute; `the file` while it is opened.
        object: String,
        /// What the HDF5 reader says, with an offset where it knows one.
        source: Box<hdf5_pure::Error>,
    },
    /// The video is neither H.264 nor AV1, of a profile that the decoder lacks, or not in an mp4 or mov file.
    #[error(
        "{file}: video: found {found}, expected H.264 or AV1 of 8 bits, 4:2:0, in an mp4 or mov file; {mend}"
    )]
    Codec {
        /// The video file.
        file: PathBuf,
        /// The codec, profile or container it has.
        found: String,
        /// What to do.
        mend: &'static str,
    },
    /// The decoder refuses the video stream.
    #[error(
        "{file}: frame {frame} cannot be decoded; the video is damaged (copy it again from its source) or interlaced \
         (re-encode it with `ffmpeg -i in.mp4 -vf yadif -c:v libx264 -pix_fmt yuv420p -g 8 out.mp4`)"
    )]
    Decode {
        /// The video file.
        file: PathBuf,
        /// Frame in decoding order at which it stopped.
        frame: usize,
        /// What the decoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program `ffmpeg` or `ffprobe` did not do what was asked of it.
    #[error(
        "{file}: the program `{program}` {found}; check that FFmpeg 5.1 or newer is installed (COLA_FFMPEG may name \
         the program) and that it plays the file"
    )]
    Program {
        /// The video file.
        file: PathBuf,
        /// The program as it was called.
        program: String,
        /// What happened, with the program's last words.
        found: String,
    },
    /// The decoder gave another number of frames than the file has samples.
    #[error(
        "{file}: decoded {found} frames from samples {first}..{end}, expected {}; the video is damaged, copy it again",
        end - first
    )]
    FrameCount {
        /// The mp4 file.
        file: PathBuf,
        /// First sample of the stretch.
        first: usize,
        /// One past its last sample.
        end: usize,
        /// Frames that came out.
        found: usize,
    },
    /// A row's time meets no frame of the video.
    #[error(
        "{file}: episode {episode}, frame {frame}: found a picture at {found:?} s, expected one at {expected} s \
         (within {tolerance} s); the video does not belong to these rows, or `fps` is wrong"
    )]
    FrameTime {
        /// The mp4 file.
        file: PathBuf,
        /// The episode.
        episode: u64,
        /// Frame in the episode.
        frame: usize,
        /// Time of the nearest picture, seconds; `None` where the file has none.
        found: Option<f64>,
        /// `from_timestamp` + `timestamp`, seconds.
        expected: f64,
        /// Largest difference taken as equal, seconds.
        tolerance: f64,
    },
    /// Pictures have another size than the metadata or the file's header say.
    #[error(
        "{file}: pictures are {} x {} (height x width), expected {} x {}; {mend}",
        found.0, found.1, expected.0, expected.1
    )]
    FrameSize {
        /// The mp4 file.
        file: PathBuf,
        /// Height and width of the decoded picture.
        found: (usize, usize),
        /// Height and width as promised.
        expected: (usize, usize),
        /// What to do.
        mend: &'static str,
    },
    /// No episode holds a clip of the length asked for.
    #[error(
        "an episode has {found} frames, clips need {expected} ({frames} frames, stride {stride}); ask for fewer frames"
    )]
    ShortEpisode {
        /// Frames of the longest episode concerned.
        found: usize,
        /// Frames from a clip's first to its last.
        expected: usize,
        /// Frames in a clip.
        frames: usize,
        /// Step between two frames of a clip.
        stride: usize,
    },
    /// An argument or a configuration value makes no sense.
    #[error("{field}: found {found}, expected {expected}; change this setting")]
    Setting {
        /// Name of the argument or field.
        field: &'static str,
        /// Its value.
        found: String,
        /// Values that make sense.
        expected: String,
    },
    /// More clips of a source cannot be read than the budget allows, or none was found that can.
    #[error(
        "`{share}`: found {found} broken clips, expected at most {budget} (data.budget) and one that can be read among \
         those drawn: {}; run `dataset validate --repair`, which lists what to leave out, or raise data.budget",
        messages.join("; ")
    )]
    Broken {
        /// Name of the share.
        share: String,
        /// Broken clips so far.
        found: usize,
        /// Broken clips that are put up with.
        budget: usize,
        /// The first of them and what is wrong with each.
        messages: Vec<String>,
    },
    /// A thread that makes batches could not be started, or panicked.
    #[error(
        "batch {step}: the thread that makes it failed: {found}; this is a fault of the program or a want of memory, not \
         of the data: report it, with the backtrace that RUST_BACKTRACE=1 gives"
    )]
    Worker {
        /// Number of the batch.
        step: u64,
        /// The thread's last words.
        found: String,
    },
    /// A picture could not be resized.
    #[error("resizing a picture failed")]
    Resize(#[from] fast_image_resize::ResizeError),
    /// A tensor could not be made on its device.
    #[error("making the batch's tensors failed")]
    Tensor(#[from] candle_core::Error),
}

impl From<cola_mp4::Error> for Error {
    fn from(error: cola_mp4::Error) -> Self {
        match error {
            // A disk that refuses a video refuses tables as well.
            cola_mp4::Error::Io { file, source, .. } => Self::Write { file, source },
            error => Self::Video(Box::new(error)),
        }
    }
}

impl Error {
    /// A setting that makes no sense.
    pub(crate) fn setting(field: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Setting { field, found: found.to_string(), expected: expected.to_string() }
    }
}
