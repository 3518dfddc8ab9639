//! What can be wrong with a configuration.

/// A configuration that nothing can be drawn from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A probability that is none.
    #[error("`{field}` is {found}; a probability must lie in 0..=1")]
    Probability {
        /// The field, as in the configuration file.
        field: &'static str,
        /// Its value.
        found: f64,
    },
    /// Probabilities of cases that exclude each other.
    #[error("the probabilities of the mask's patterns sum to {found}; they must not exceed 1")]
    Sum {
        /// Their sum.
        found: f64,
    },
}
