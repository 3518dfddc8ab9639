//! What cannot be encoded or decoded.

/// An input that the VAE refuses; the message says what would do.
///
/// [`VideoVae::check_video`](crate::VideoVae::check_video) and [`VideoVae::check_latents`](crate::VideoVae::check_latents)
/// return it as it is; from the methods that compute it comes as the text of a [`candle_core::Error`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// Another number of dimensions.
    #[error("{what} of shape {found:?}; give it the shape {expected}")]
    Rank {
        /// What it is.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The dimensions by name.
        expected: &'static str,
    },
    /// No sample, or no frame.
    #[error("{what} of shape {found:?} has nothing in it; give at least one sample and one frame")]
    Empty {
        /// What it is.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
    },
    /// Another number of channels.
    #[error(
        "{what} with {found} channels; the VAE takes {expected} (channels come before frames, height and width)"
    )]
    Channels {
        /// What it is.
        what: &'static str,
        /// Its channels.
        found: usize,
        /// The model's.
        expected: usize,
    },
    /// Pictures that do not make whole latents, single pixels among them.
    #[error(
        "pictures of {height} x {width} pixels; both sides must be multiples of {unit} and at least {unit}: crop, pad or \
         resize them"
    )]
    Sides {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
        /// Pixels along the side of a latent.
        unit: usize,
    },
    /// Latents without a pixel.
    #[error("latents of {height} x {width} pixels; both sides must be at least 1")]
    NoPixels {
        /// Latent pixels.
        height: usize,
        /// Latent pixels.
        width: usize,
    },
    /// A number of frames that does not belong to that of the latents.
    #[error(
        "{frames} frames cannot come from {found} latents, they have {expected}; decode with the number of frames that \
         was encoded"
    )]
    Frames {
        /// Frames that were asked for, at least 1.
        frames: usize,
        /// Latents that so many frames have.
        expected: usize,
        /// Latents that are there.
        found: usize,
    },
    /// Noise of another shape than what it is added to.
    #[error("{which} noise of shape {found:?}; it must be {expected:?}")]
    Noise {
        /// For which posterior.
        which: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The posterior's.
        expected: Vec<usize>,
    },
}

/// As the error of a tensor operation.
impl From<InputError> for candle_core::Error {
    fn from(error: InputError) -> Self {
        Self::wrap(error)
    }
}

/// Refuses latents with other channels than `expected`, or nothing in them.
pub(crate) fn check_latents(what: &'static str, dims: &[usize], expected: usize) -> Result<(), InputError> {
    check_filled(what, dims, expected)?;
    match *dims {
        [.., height, width] if height == 0 || width == 0 => Err(InputError::NoPixels { height, width }),
        _ => Ok(()),
    }
}

/// Refuses pictures with other channels than `expected`, nothing in them, or sides that `unit` does not divide.
pub(crate) fn check_pictures(
    what: &'static str,
    dims: &[usize],
    expected: usize,
    unit: usize,
) -> Result<(), InputError> {
    check_filled(what, dims, expected)?;
    let whole = |side: usize| side > 0 && side.is_multiple_of(unit);
    match *dims {
        [.., height, width] if !whole(height) || !whole(width) => {
            Err(InputError::Sides { height, width, unit })
        }
        _ => Ok(()),
    }
}

/// Samples, channels and frames; `dims` are `(B, C, H, W)` or `(B, C, T, H, W)`.
fn check_filled(what: &'static str, dims: &[usize], expected: usize) -> Result<(), InputError> {
    match *dims {
        [0, ..] | [_, _, 0, _, _] => Err(InputError::Empty { what, found: dims.to_vec() }),
        [_, found, ..] if found != expected => Err(InputError::Channels { what, found, expected }),
        _ => Ok(()),
    }
}
