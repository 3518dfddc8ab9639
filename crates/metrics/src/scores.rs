//! Scores of clips, summed up.

use crate::{Curve, Error, Fvd, FvdConfig, Protocol, Report, Result, Tally};

/// One clip's numbers, a value for each scored frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipScores {
    /// Mean squared error of pixels in `[0, 1]`.
    pub mse: Vec<f64>,
    /// dB.
    pub psnr: Vec<f64>,
    /// Up to 1.
    pub ssim: Vec<f64>,
    /// From 0 up; none where no weights were given.
    pub lpips: Option<Vec<f64>>,
    /// I3D logits of the real clip and of the generated one; none where FVD was left out.
    pub logits: Option<[Vec<f32>; 2]>,
}

impl ClipScores {
    /// Refuses NaN, and lists of different lengths.
    fn check(&self) -> Result<()> {
        let lpips = self.lpips.as_deref().unwrap_or(&self.mse);
        for (what, values) in [
            ("mean squared error", &self.mse[..]),
            ("PSNR", &self.psnr),
            ("SSIM", &self.ssim),
            ("LPIPS", lpips),
        ] {
            if values.len() != self.mse.len() || values.is_empty() {
                return Err(Error::Layout {
                    found: format!("{} values of {what} for {} frames", values.len(), self.mse.len()),
                    expected: "one for each scored frame, at least one".into(),
                });
            }
            if let Some(at) = values.iter().position(|value| value.is_nan()) {
                return Err(Error::NotFinite { what, value: f64::NAN, index: vec![at] });
            }
        }
        Ok(())
    }
}

/// Clips scored under one protocol, in memory that does not grow with their number. Several workers each keep one and
/// merge them.
///
/// ```
/// use cola_metrics::{ClipScores, Protocol, Scores};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let clip = |psnr: f64| ClipScores {
///     mse: vec![0.01],
///     psnr: vec![psnr],
///     ssim: vec![0.9],
///     lpips: None,
///     logits: None,
/// };
/// let [mut one, mut other] = [0, 1].map(|_| Scores::new(Protocol::default()));
/// one.add(0, &clip(20.0))?;
/// other.add(1, &clip(22.0))?;
/// one.merge(other)?;
/// let report = one.finish()?;
/// assert_eq!((report.clips, report.psnr.mean()), (2, Some(21.0)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Scores {
    protocol: Protocol,
    mse: Tally,
    psnr: Curve,
    ssim: Curve,
    lpips: Option<Curve>,
    fvd: Option<Fvd>,
    clips: u64,
}

impl Scores {
    /// Of no clips.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            mse: Tally::default(),
            psnr: Curve::default(),
            ssim: Curve::default(),
            lpips: None,
            fvd: None,
            clips: 0,
        }
    }

    /// Takes in a clip; `index` is its number among all clips of all workers.
    ///
    /// # Errors
    /// Values that are NaN, logits that are not finite or of another width than before, metrics of different numbers of
    /// frames; LPIPS or logits that other clips have and this one has not, or the other way round. Nothing is added then.
    pub fn add(&mut self, index: u64, clip: &ClipScores) -> Result<()> {
        clip.check()?;
        let had = self.clips > 0;
        let differs = |what: &'static str| Error::Layout {
            found: format!("clip {index} with other metrics than the clips before it ({what})"),
            expected: "the same metrics for every clip".into(),
        };
        if had && self.lpips.is_some() != clip.lpips.is_some() {
            return Err(differs("LPIPS"));
        }
        if had && self.fvd.is_some() != clip.logits.is_some() {
            return Err(differs("FVD"));
        }
        if let Some([real, generated]) = &clip.logits {
            let config = FvdConfig { covariance: self.protocol.fvd.covariance, ..FvdConfig::default() };
            let mut fvd = match self.fvd.take() {
                Some(fvd) => fvd,
                None => Fvd::new(real.len(), config)?,
            };
            let added = fvd.add_pair(index, real, generated);
            if had || added.is_ok() {
                self.fvd = Some(fvd);
            }
            added?;
        }
        if let Some(values) = &clip.lpips {
            self.lpips.get_or_insert_default().add(values);
        }
        clip.mse.iter().for_each(|mse| self.mse.add(*mse));
        self.psnr.add(&clip.psnr);
        self.ssim.add(&clip.ssim);
        self.clips += 1;
        Ok(())
    }

    /// Takes in all clips of another worker.
    ///
    /// # Errors
    /// Another protocol, other metrics.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if self.protocol != other.protocol {
            let [first, second] = [&self.protocol, &other.protocol].map(ToString::to_string);
            return Err(Error::Protocols { first, second });
        }
        if other.clips == 0 {
            return Ok(());
        }
        if self.clips == 0 {
            *self = other;
            return Ok(());
        }
        if self.lpips.is_some() != other.lpips.is_some() {
            return Err(without("LPIPS"));
        }
        if self.fvd.is_some() != other.fvd.is_some() {
            return Err(without("FVD"));
        }
        if let (Some(fvd), Some(other)) = (&mut self.fvd, &other.fvd) {
            fvd.merge(other)?;
        }
        if let (Some(lpips), Some(other)) = (&mut self.lpips, &other.lpips) {
            lpips.merge(other);
        }
        self.mse.merge(&other.mse);
        self.psnr.merge(&other.psnr);
        self.ssim.merge(&other.ssim);
        self.clips += other.clips;
        Ok(())
    }

    /// Clips so far.
    pub fn clips(&self) -> u64 {
        self.clips
    }

    /// The numbers of all clips so far beside their protocol; FVD is absent of fewer than two clips, which have no
    /// covariance.
    ///
    /// # Errors
    /// No clips at all; logits so large that f64 cannot hold their products.
    pub fn finish(&self) -> Result<Report> {
        let Some(mse) = self.mse.mean() else {
            return Err(Error::TooFew {
                metric: "a report",
                set: "clips",
                found: 0,
                least: 1,
                mend: "add clips first",
            });
        };
        Ok(Report {
            psnr_pooled: self.protocol.psnr.mode.decibels(mse),
            protocol: self.protocol.clone(),
            clips: self.clips,
            psnr: self.psnr.clone(),
            ssim: self.ssim.clone(),
            lpips: self.lpips.clone(),
            fvd: self.fvd.as_ref().filter(|_| self.clips > 1).map(Fvd::finish).transpose()?,
        })
    }
}

fn without(metric: &str) -> Error {
    Error::Layout {
        found: format!("one worker with {metric} and one without"),
        expected: "the same metrics from every worker".into(),
    }
}
