//! Videos in, one clip's scores out.

use crate::{ClipScores, Error, I3d, Lpips, Protocol, Result, Video, mse_frames, ssim_frames};

/// A protocol with the networks that it needs.
///
/// ```
/// use cola_metrics::{Evaluator, Protocol, Scores, Video};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let evaluator = Evaluator::new(Protocol::default(), None, None)?; // PSNR and SSIM need no weights
/// let mut scores = Scores::new(evaluator.protocol().clone());
/// let video = |level: u8| Video::from_u8([2, 3, 16, 16], vec![level; 2 * 3 * 16 * 16]);
/// scores.add(0, &evaluator.clip(&video(100)?, &video(110)?)?)?;
/// let report = scores.finish()?;
/// assert!((report.psnr.mean().unwrap() - 20.0 * 25.5f64.log10()).abs() < 1e-12);
/// println!("{report}"); // cola-world: clamped to [0, 1], rounded to 256 levels; the first frame left out. PSNR: ...
/// # Ok(())
/// # }
/// ```
pub struct Evaluator {
    protocol: Protocol,
    lpips: Option<Lpips>,
    i3d: Option<I3d>,
}

impl Evaluator {
    /// Without `lpips` there is no LPIPS, without `i3d` no FVD.
    ///
    /// # Errors
    /// Numbers of the protocol that make no sense; a network that was built for another protocol.
    pub fn new(protocol: Protocol, lpips: Option<Lpips>, i3d: Option<I3d>) -> Result<Self> {
        protocol.check()?;
        let other = |found: String, expected| Error::Setting { field: "protocol", found, expected };
        if let Some(lpips) = &lpips
            && *lpips.config() != protocol.lpips
        {
            return Err(other(lpips.config().to_string(), "an LPIPS built with the protocol's `lpips`"));
        }
        if let Some(i3d) = &i3d
            && *i3d.config() != protocol.fvd.i3d
        {
            return Err(other(format!("{:?}", i3d.config()), "an I3D built with the protocol's `fvd.i3d`"));
        }
        Ok(Self { protocol, lpips, i3d })
    }

    /// How it scores.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Scores a clip against the real one, frame by frame, and takes both clips' features.
    ///
    /// # Errors
    /// Videos that differ in shape, are too small or too short for a metric, or hold nothing but given frames.
    pub fn clip(&self, real: &Video, generated: &Video) -> Result<ClipScores> {
        let Protocol { given, rounding, psnr, ssim, fvd, .. } = &self.protocol;
        if real.shape() != generated.shape() {
            return Err(Error::Shapes { metric: "clip", first: real.shape(), second: generated.shape() });
        }
        if real.frames() <= *given {
            return Err(Error::TooSmall {
                metric: "clip",
                what: "frames",
                found: real.frames(),
                least: given.saturating_add(1),
                mend: "use longer clips, or a protocol with fewer given frames",
            });
        }
        let scored = |video: &Video| video.narrow(*given, video.frames());
        let (real, generated) = (scored(real)?, scored(generated)?);
        let logits = match &self.i3d {
            Some(i3d) => {
                let logits = |video: &Video| -> Result<Vec<f32>> {
                    let feature = i3d.feature(&fvd.rounding.apply(video), fvd.fit)?;
                    Ok(feature.into_iter().map(|value| value as f32).collect()) // made in f32
                };
                Some([logits(&real)?, logits(&generated)?])
            }
            None => None,
        };
        let (real, generated) = (rounding.apply(&real), rounding.apply(&generated));
        let mse = mse_frames(&*psnr.planes.of(&real)?, &*psnr.planes.of(&generated)?)?;
        Ok(ClipScores {
            psnr: mse.iter().map(|mse| psnr.mode.decibels(*mse)).collect(),
            mse,
            ssim: ssim_frames(&real, &generated, ssim)?,
            lpips: self.lpips.as_ref().map(|lpips| lpips.frames(&real, &generated)).transpose()?,
            logits,
        })
    }
}
