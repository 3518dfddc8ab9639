//! From when on a frame is generated: binary masks and those for editing.

use candle_core::{DType, Device, Result, Tensor};

use crate::given::Given;

/// How much of each frame the sampler makes anew: 1 generates it from noise, 0 keeps it bit for bit, and what lies
/// between edits it. Such a frame stays as it is until the time has fallen to `1000 mask`, gets noise for that time then,
/// and steps from there on; so the lower the mask, the more of the frame is left.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cola_flow::EditMask;
///
/// let mask = EditMask::new(&Tensor::new(&[[0f32, 0.5, 1.0]], &Device::Cpu)?)?;
/// assert_eq!(mask.active(1000.0), [false, false, true]);
/// assert_eq!(mask.active(500.0), [false, true, true]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EditMask {
    mask: Vec<f32>,
    shape: (usize, usize),
}

impl EditMask {
    /// From a mask `(B, T)`, or `(1, T)` for all clips, in `[0, 1]`; f64 is rounded to f32.
    ///
    /// # Errors
    /// A value outside `[0, 1]`, tensor arithmetic.
    pub fn new(mask: &Tensor) -> Result<Self> {
        let shape = mask.dims2()?;
        let mask = mask.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if let Some(wrong) = mask.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            candle_core::bail!("an edit mask holds {wrong}, which is not in 0..=1");
        }
        Ok(Self { mask, shape })
    }

    /// The binary mask: 0 where a frame is given, 1 where it is generated.
    ///
    /// # Errors
    /// The device's.
    pub fn from_given(given: &Given) -> Result<Self> {
        Self::new(given.generated())
    }

    /// `(B, T)`, clips and frames.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Which frames move at this time, clip by clip: `1000 mask >= t`, compared in f32 as in the reference, where
    /// `0.3 * 1000` is 300. A mask of 0 never moves, not even at time 0.
    pub fn active(&self, t: f64) -> Vec<bool> {
        self.mask.iter().map(|&mask| mask > 0.0 && mask * 1000.0 >= t as f32).collect()
    }

    /// The mask with a row for each clip of a batch: a field is told of every clip.
    pub(crate) fn for_batch(&self, clips: usize, frames: usize) -> Result<Self> {
        match self.shape {
            shape if shape == (clips, frames) => Ok(self.clone()),
            shape if shape == (1, frames) => {
                Ok(Self { mask: self.mask.repeat(clips), shape: (clips, frames) })
            }
            shape => candle_core::bail!("a mask of shape {shape:?} for {clips} clips of {frames} frames"),
        }
    }

    /// Which frames are noise from the start.
    pub(crate) fn generated(&self) -> Vec<bool> {
        self.mask.iter().map(|&mask| mask == 1.0).collect()
    }

    /// Flags of this mask's shape, true for generated.
    pub(crate) fn given(&self, generated: &[bool], device: &Device) -> Result<Given> {
        let flags: Vec<u8> = generated.iter().map(|&generated| u8::from(generated)).collect();
        Given::from_mask(&Tensor::from_vec(flags, self.shape, device)?)
    }
}
