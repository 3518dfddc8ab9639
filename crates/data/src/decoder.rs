//! From coded samples to pictures: one decoder for each codec.

#[cfg(feature = "av1")]
mod av1;
mod h264;

use crate::Error;
use crate::mp4::{Codec, Track};
use crate::planes::Planes;

/// Why a decoder stops before the end of its samples.
pub(crate) enum Stop {
    Failed(Error),
    /// The pictures have no taker any more.
    Unheard,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Takes each picture.
pub(crate) type Show<'a> = dyn FnMut(Planes<'_>) -> Result<(), Stop> + 'a;

/// A decoder at work on consecutive samples of a track; the first is a key frame.
pub(crate) trait Decode {
    /// Takes the bytes of sample `number` and shows the pictures that are complete, in the order of presentation.
    fn push(&mut self, number: usize, sample: Vec<u8>, show: &mut Show<'_>) -> Result<(), Stop>;

    /// Shows the pictures that are left; sample `last` was the last one.
    fn finish(&mut self, last: usize, show: &mut Show<'_>) -> Result<(), Stop>;
}

/// A decoder of `track` that will get the samples from `first` on.
pub(crate) fn start(track: &Track, first: usize) -> Result<Box<dyn Decode + '_>, Error> {
    Ok(match &track.codec {
        Codec::H264(stream) => Box::new(h264::H264::new(track, stream, first)?),
        #[cfg(feature = "av1")]
        Codec::Av1(config) => Box::new(av1::Av1::new(track, config, first)?),
    })
}

/// What a decoder says about sample `frame` of `track`.
fn refused(track: &Track, frame: usize, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Decode { file: track.file.clone(), frame, source: Box::new(source) }
}

#[cfg(test)]
mod tests;
