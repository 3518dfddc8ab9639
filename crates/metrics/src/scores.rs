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
    /// Logits that are not finite or of another width than before; LPIPS or logits that other clips have and this one
    /// has not, or the other way round.
    pub fn add(&mut self, index: u64, clip: &ClipScores) -> Result<()> {
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
        match (&mut self.fvd, other.fvd) {
            (Some(fvd), Some(other)) => fvd.merge(&other)?,
            (None, None) => {}
            _ => return Err(without("FVD")),
        }
        match (&mut self.lpips, &other.lpips) {
            (Some(lpips), Some(other)) => lpips.merge(other),
            (None, None) => {}
            _ => return Err(without("LPIPS")),
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

    /// The numbers beside their protocol.
    ///
    /// # Errors
    /// No clips at all; fewer than two for FVD.
    pub fn finish(self) -> Result<Report> {
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
            protocol: self.protocol,
            clips: self.clips,
            psnr: self.psnr,
            ssim: self.ssim,
            lpips: self.lpips,
            fvd: self.fvd.as_ref().map(Fvd::finish).transpose()?,
        })
    }
}

fn without(metric: &str) -> Error {
    Error::Layout {
        found: format!("one worker with {metric} and one without"),
        expected: "the same metrics from every worker".into(),
    }
}
