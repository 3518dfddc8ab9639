//! What can be wrong with videos, features and weights: what was found, what was expected, what to do.

/// Videos that cannot be compared, sets that have no distance, weights that are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The two videos differ in length, channels or size.
    #[error(
        "{metric}: the videos have shapes {first:?} and {second:?} (T, C, H, W); cut, resize or convert one of them"
    )]
    Shapes {
        /// The metric that was asked for.
        metric: &'static str,
        /// `(T, C, H, W)` of the first video.
        first: [usize; 4],
        /// `(T, C, H, W)` of the second.
        second: [usize; 4],
    },
    /// A buffer or tensor that is no video.
    #[error("video: found {found}, expected {expected}")]
    Layout {
        /// What came.
        found: String,
        /// What a video is.
        expected: String,
    },
    /// The video is too small or too short for the metric.
    #[error("{metric}: {what} is {found}, at least {least} is needed; {mend}")]
    TooSmall {
        /// The metric.
        metric: &'static str,
        /// Which size: `height`, `width`, `frames`.
        what: &'static str,
        /// What the video has.
        found: usize,
        /// What the metric needs.
        least: usize,
        /// What to do.
        mend: &'static str,
    },
    /// A pixel, feature or weight is NaN or infinite.
    #[error("{what}: value {value} at {index:?}; every value has to be finite")]
    NotFinite {
        /// Of what.
        what: &'static str,
        /// The value.
        value: f64,
        /// Where it is, index by index.
        index: Vec<usize>,
    },
    /// Pixels lie so far outside of `[0, 1]` that they must be on another scale.
    #[error("video: values from {low} to {high}, expected [0, 1] (up to 0.5 beyond is clamped); {mend}")]
    Scale {
        /// The smallest value.
        low: f64,
        /// The largest.
        high: f64,
        /// What to do.
        mend: &'static str,
    },
    /// A number of a configuration that cannot be.
    #[error("{field}: found {found}, expected {expected}")]
    Setting {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Too few samples for the number that was asked for.
    #[error("{metric}: {found} samples in {set}, at least {least} are needed; {mend}")]
    TooFew {
        /// The metric.
        metric: &'static str,
        /// Which set.
        set: &'static str,
        /// How many there are.
        found: usize,
        /// How many there have to be.
        least: usize,
        /// What to do.
        mend: &'static str,
    },
    /// Features or statistics of different widths.
    #[error("{metric}: features of {first} and of {second} numbers; both sets have to come from one network")]
    Widths {
        /// The metric.
        metric: &'static str,
        /// Width of the first.
        first: usize,
        /// Width of the second.
        second: usize,
    },
    /// Numbers made under different protocols cannot be put together.
    #[error("protocols differ: {first} against {second}; compute both under one protocol")]
    Protocols {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A decomposition or a distance that rounding alone cannot explain.
    #[error("{metric}: {what}")]
    Numerics {
        /// The metric.
        metric: &'static str,
        /// What happened.
        what: String,
    },
    /// Weights that are absent or others than the network's.
    #[error("{network}: the weights cannot be used; {mend}")]
    Weights {
        /// The network.
        network: &'static str,
        /// Which file it is, where it is published, how to convert it.
        mend: &'static str,
        /// What is wrong.
        source: Box<cola_weights::Error>,
    },
    /// A file of statistics that cannot be used.
    #[error("{file}: {what}; {mend}")]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// What was found and what was expected.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// Tensor arithmetic.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
