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
    /// Heads whose channels rotary positions cannot pair.
    #[error(
        "`dim` = {dim} over `heads` = {heads} is an odd head size, rotary positions turn pairs of channels"
    )]
    OddHead {
        /// The width.
        dim: usize,
        /// The heads.
        heads: usize,
    },
    /// A number that must be positive.
    #[error("`{name}` = {value}, it must be finite and positive")]
    Positive {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
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

impl ConfigError {
    /// A size that has a least value.
    pub(crate) fn least(name: &'static str, value: usize, least: usize) -> Result<(), Self> {
        if value < least { Err(Self::Least { name, value, least }) } else { Ok(()) }
    }

    /// A size that has a greatest value.
    pub(crate) fn most(name: &'static str, value: usize, most: usize) -> Result<(), Self> {
        if value > most { Err(Self::Most { name, value, most }) } else { Ok(()) }
    }

    /// A size that another one, named first, must divide.
    pub(crate) fn divide(divisor: (&'static str, usize), of: (&'static str, usize)) -> Result<(), Self> {
        let ((divisor_name, divisor), (name, value)) = (divisor, of);
        if divisor == 0 || !value.is_multiple_of(divisor) {
            return Err(Self::Divide { divisor_name, divisor, name, value });
        }
        Ok(())
    }

    /// The weight of a loss.
    pub(crate) fn weight(name: &'static str, value: f64) -> Result<(), Self> {
        if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(Self::Weight { name, value }) }
    }
}
