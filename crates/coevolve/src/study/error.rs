//! What can be wrong with pairs of latent and real actions, and with an adapter's file.

use std::path::PathBuf;

/// Why a probe or an adapter could not be fitted, measured or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A source that knows no real actions.
    #[error(
        "clip {clip} has no real actions; a probe or adapter needs a data set with an action column, or the drawn world"
    )]
    NoActions {
        /// Index of the clip in its source.
        clip: usize,
    },
    /// Too little to fit anything to.
    #[error("{found} transitions found, at least 2 needed; choose a larger split or more clips")]
    FewTransitions {
        /// Transitions of the chosen clips.
        found: usize,
    },
    /// A real action that is not a number.
    #[error(
        "clip {clip}, transition {transition}, action dimension {dimension}: found {value}, expected a finite number; \
         mend or leave out the episode"
    )]
    ActionNotFinite {
        /// Index of the clip in its source.
        clip: usize,
        /// Transition within the clip.
        transition: usize,
        /// Dimension of the action; with a frame stride, the concatenated actions count on.
        dimension: usize,
        /// The value.
        value: f32,
    },
    /// A latent action, or a number computed from it, that is not finite.
    #[error("{what} holds {value}, expected finite numbers; the model that made it has diverged")]
    NotFinite {
        /// Which numbers.
        what: &'static str,
        /// The first one that is not finite.
        value: f64,
    },
    /// Two things that do not belong together.
    #[error("{what}: found {found}, expected {expected}")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A setting that makes no sense.
    #[error("{field} is {found}; expected {expected}")]
    Setting {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A file that is no adapter, or a damaged one.
    #[error("{}: {what}: found {found}, expected {expected}; train the adapter again or choose another file", file.display())]
    AdapterFile {
        /// The file.
        file: PathBuf,
        /// Tensor or field.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// An adapter whose codes mean something else in the codebook at hand.
    #[error(
        "{}: the adapter belongs to codebook version `{found}`, the latent action model has `{expected}`; train an adapter \
         for this model, or open the model that the adapter was trained with",
        file.display()
    )]
    CodebookVersion {
        /// The file.
        file: PathBuf,
        /// The version that the adapter was trained with.
        found: String,
        /// The version asked for.
        expected: String,
    },
}

impl StudyError {
    /// The error for the first of `values` that is not finite, if there is one.
    pub(crate) fn if_not_finite(what: &'static str, values: &[f64]) -> Result<(), Self> {
        match values.iter().find(|value| !value.is_finite()) {
            Some(&value) => Err(Self::NotFinite { what, value }),
            None => Ok(()),
        }
    }
}
