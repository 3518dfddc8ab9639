//! Fréchet distance of two sets of clips from their features, streamed and merged in bounded memory.

use serde::{Deserialize, Serialize};

use crate::features::check_rows;
use crate::sample::Sample;
use crate::{
    Covariance, Error, Frechet, Moments, Result, frechet_from_features, frechet_from_moments, kernel_distance,
};

/// What changes the number, beside the network that the features come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FvdConfig {
    /// Divisor of the covariances.
    pub covariance: Covariance,
    /// Clips of each set that the kernel distance is computed from, at most; 0 for none.
    pub kvd_clips: usize,
}

impl Default for FvdConfig {
    fn default() -> Self {
        Self { covariance: Covariance::Unbiased, kvd_clips: 1000 }
    }
}

impl FvdConfig {
    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// A sample of one clip, which has no pairs.
    pub fn check(&self) -> Result<()> {
        if self.kvd_clips == 1 {
            return Err(Error::Setting {
                field: "kvd_clips",
                found: "1".into(),
                expected: "0 for no kernel distance, or 2 clips and more",
            });
        }
        Ok(())
    }
}

/// The numbers of two sets; those that the sets are too small for are absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FvdReport {
    /// The Fréchet distance.
    pub fvd: f64,
    /// Its terms; the real set is the first.
    pub parts: Frechet,
    /// Divisor of the covariances.
    pub covariance: Covariance,
    /// Real clips.
    pub real: u64,
    /// Generated clips.
    pub generated: u64,
    /// The distance of real from real, clips of even from clips of odd index, unbiased: what the sets' size alone makes.
    /// The halves are half as large as the set, so it is above what two sets of the full size would have; where neighbours
    /// are clips of one recording, each half has some of them, and it is below that of two sets of recordings. Absent if
    /// a half has fewer than 2 clips.
    pub floor: Option<f64>,
    /// The kernel distance of the two samples; absent if one has fewer than 2 clips.
    pub kvd: Option<f64>,
    /// Clips in the samples of the real and of the generated set.
    pub kvd_clips: [usize; 2],
    /// Mean cosine of the features of paired clips, in `[-1, 1]`; absent without pairs.
    pub cosine: Option<f64>,
    /// Paired clips.
    pub pairs: u64,
}

/// Takes the features of real and generated clips one by one, and gives the distances of the two sets.
///
/// Memory depends on the features' width and on `kvd_clips`, not on the number of clips: four matrices `D x D` and two
/// samples, 9 MB for 400 numbers a clip. Parts that several workers filled are merged; one worker alone gives the same
/// to about 1e-12. A set that fits into its sample is not squared into a covariance but taken as it is, so that
/// sets of fewer clips than features are exact.
///
/// The index of a clip says which half of the real set it belongs to and whether it is sampled; it is to be the clip's
/// place in the whole set, whichever worker has it. An index that comes twice counts as two clips.
///
/// ```
/// use cola_metrics::{Fvd, FvdConfig};
///
/// # fn main() -> cola_metrics::Result<()> {
/// let mut workers = [Fvd::new(2, FvdConfig::default())?, Fvd::new(2, FvdConfig::default())?];
/// for index in 0..8u64 {
///     let real = [index as f32, (index * index) as f32];
///     let generated = [real[0] + 3.0, real[1]];
///     workers[index as usize % 2].add_pair(index, &real, &generated)?;
/// }
/// let [mut all, other] = workers;
/// all.merge(&other)?;
/// let report = all.finish()?;
/// assert!((report.fvd - 9.0).abs() < 1e-9); // the same shape, 3 away
/// assert_eq!((report.real, report.generated, report.pairs), (8, 8, 8));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fvd {
    config: FvdConfig,
    real: Set,
    generated: Set,
    cosine: f64,
    pairs: u64,
}

/// One of the two sets.
#[derive(Clone, Debug)]
struct Set {
    /// Clips of even and of odd index.
    halves: [Moments; 2],
    sample: Sample,
}

impl Fvd {
    /// Of no clips yet, each of `width` features.
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn new(width: usize, config: FvdConfig) -> Result<Self> {
        config.check()?;
        let set =
            Set { halves: [Moments::new(width), Moments::new(width)], sample: Sample::new(config.kvd_clips) };
        Ok(Self { config, real: set.clone(), generated: set, cosine: 0.0, pairs: 0 })
    }

    /// Adds a real clip.
    ///
    /// # Errors
    /// Another number of features; one that is not finite (the position gives the clip's index and the feature).
    /// Nothing is added then.
    pub fn add_real(&mut self, index: u64, features: &[f32]) -> Result<()> {
        self.real.check("real features", index, features)?;
        self.real.add(index, features)
    }

    /// Adds a generated clip.
    ///
    /// # Errors
    /// As [`Fvd::add_real`].
    pub fn add_generated(&mut self, index: u64, features: &[f32]) -> Result<()> {
        self.generated.check("generated features", index, features)?;
        self.generated.add(index, features)
    }

    /// Adds a real clip and the generated one that is to be like it; only pairs enter the cosine.
    ///
    /// A clip whose features are all 0 has no direction: its cosine counts as 0.
    ///
    /// # Errors
    /// As [`Fvd::add_real`]; neither is added then.
    pub fn add_pair(&mut self, index: u64, real: &[f32], generated: &[f32]) -> Result<()> {
        self.real.check("real features", index, real)?;
        self.generated.check("generated features", index, generated)?;
        self.real.add(index, real)?;
        self.generated.add(index, generated)?;
        self.cosine += cosine(real, generated);
        self.pairs += 1;
        Ok(())
    }

    /// Adds the clips of another worker.
    ///
    /// # Errors
    /// Another width or configuration; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.config != other.config {
            return Err(Error::Protocols {
                first: format!("{:?}", self.config),
                second: format!("{:?}", other.config),
            });
        }
        self.real.merge(&other.real)?;
        self.generated.merge(&other.generated)?;
        self.cosine += other.cosine;
        self.pairs += other.pairs;
        Ok(())
    }

    /// The numbers of all clips so far; more can be added behind.
    ///
    /// # Errors
    /// A set of fewer than 2 clips; features so large that f64 cannot hold their products.
    pub fn finish(&self) -> Result<FvdReport> {
        let (real, generated) = (self.real.count(), self.generated.count());
        let width = self.real.width();
        let all = |_| true;
        let parts = if self.real.is_sampled() && self.generated.is_sampled() {
            let (real, generated) =
                (self.real.sample.features(width, all)?, self.generated.sample.features(width, all)?);
            frechet_from_features(&real, &generated, self.config.covariance)?
        } else {
            frechet_from_moments(&self.real.whole()?, &self.generated.whole()?, self.config.covariance)?
        };
        let kvd_clips = [self.real.sample.count(), self.generated.sample.count()];
        let kvd = if kvd_clips.iter().all(|clips| *clips >= 2) {
            let (real, generated) =
                (self.real.sample.features(width, all)?, self.generated.sample.features(width, all)?);
            Some(kernel_distance(&real, &generated)?.distance)
        } else {
            None
        };
        Ok(FvdReport {
            fvd: parts.distance,
            parts,
            covariance: self.config.covariance,
            real,
            generated,
            floor: self.real.halves_apart()?,
            kvd,
            kvd_clips,
            cosine: (self.pairs > 0).then(|| self.cosine / self.pairs as f64),
            pairs: self.pairs,
        })
    }
}

impl Set {
    fn width(&self) -> usize {
        self.halves[0].width()
    }

    fn count(&self) -> u64 {
        self.halves.iter().map(Moments::count).sum()
    }

    fn check(&self, what: &'static str, index: u64, features: &[f32]) -> Result<()> {
        if features.len() != self.width() {
            return Err(Error::Widths { metric: "FVD", first: self.width(), second: features.len() });
        }
        check_rows(self.width(), features).map_err(|error| match error {
            Error::NotFinite { value, index: at, .. } => {
                Error::NotFinite { what, value, index: vec![index as usize, at[1]] }
            }
            other => other,
        })
    }

    fn add(&mut self, index: u64, features: &[f32]) -> Result<()> {
        self.halves[(index % 2) as usize].add(features)?;
        self.sample.add(index, features);
        Ok(())
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        for (half, part) in self.halves.iter_mut().zip(&other.halves) {
            half.merge(part)?;
        }
        self.sample.merge(&other.sample);
        Ok(())
    }

    fn whole(&self) -> Result<Moments> {
        let [even, odd] = &self.halves;
        let mut whole = even.clone();
        whole.merge(odd)?;
        Ok(whole)
    }

    /// Whether the sample has every clip.
    fn is_sampled(&self) -> bool {
        self.sample.count() as u64 == self.count()
    }

    /// The distance of clips of even from clips of odd index.
    fn halves_apart(&self) -> Result<Option<f64>> {
        let [even, odd] = &self.halves;
        if even.count() < 2 || odd.count() < 2 {
            return Ok(None);
        }
        let apart = if self.is_sampled() {
            let half = |parity| self.sample.features(self.width(), move |index| index % 2 == parity);
            frechet_from_features(&half(0)?, &half(1)?, Covariance::Unbiased)?
        } else {
            frechet_from_moments(even, odd, Covariance::Unbiased)?
        };
        Ok(Some(apart.distance))
    }
}

/// The cosine of the angle between two vectors; 0 if one has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let norms = dot(a, a).sqrt() * dot(b, b).sqrt();
    if norms > 0.0 { (dot(a, b) / norms).clamp(-1.0, 1.0) } else { 0.0 }
}
