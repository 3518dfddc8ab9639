//! What can be wrong with a configuration.

/// A configuration that describes no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// One size must divide another.
    #[error("`{divisor_name}` = {divisor} does not divide `{name}` = {value}; choose a divisor of {value}")]
    Divide {
        /// Field of the divisor.
        divisor_name: &'static str,
        /// Its value.
        divisor: usize,
        /// Field that it must divide.
        name: &'static str,
        /// That field's value.
        value: usize,
    },
    /// A width that the position table cannot use: sines and cosines for rows and for columns.
    #[error("`dim` = {dim} is not a multiple of 4, which the grid position table needs")]
    Width {
        /// The width.
        dim: usize,
    },
    /// A size below its least sensible value.
    #[error("`{name}` = {value}, it must be at least {least}")]
    Least {
        /// The field.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// A size above its greatest value.
    #[error("`{name}` = {value}, it must be at most {most}")]
    Most {
        /// The field.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The most that works.
        most: usize,
    },
    /// A loss weight that is negative or not finite.
    #[error("`{name}` = {value}, a loss weight is finite and not negative")]
    Weight {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A quantizer that cannot exist.
    #[error("`quantizer.{name}` = {value}, expected {expected}; {mend}")]
    Quantizer {
        /// The field below `quantizer`.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
        /// How to get there.
        mend: String,
    },
}
