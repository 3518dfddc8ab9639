//! Numbers that cannot be separated from how they were made.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Averaging, Curve, FvdReport, Protocol};

/// The metrics of some clips. Prints its protocol with lengths and counts; serde stores all of it, but JSON has no
/// infinity: with [`PsnrMode::Inf`](crate::PsnrMode::Inf) equal frames are `null` there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How it was scored.
    pub protocol: Protocol,
    /// Pairs of clips.
    pub clips: u64,
    /// dB by frame; [`Report::decibels`] is the number of tables.
    pub psnr: Curve,
    /// dB of the mean squared error over all frames of all clips: at most the mean over frames.
    pub psnr_pooled: f64,
    /// Structural similarity by frame.
    pub ssim: Curve,
    /// Perceptual distance by frame; none without weights.
    pub lpips: Option<Curve>,
    /// Distance of the two sets of clips; none where it was left out, or of one clip.
    pub fvd: Option<FvdReport>,
}

impl Report {
    /// The PSNR of tables, dB: mean over frames or of the pooled error, as the protocol says.
    pub fn decibels(&self) -> Option<f64> {
        match self.protocol.psnr.averaging {
            Averaging::PerFrame => self.psnr.mean(),
            Averaging::Pooled => Some(self.psnr_pooled),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.psnr.by_frame().count();
        self.protocol.write(f, self.lpips.is_some(), self.fvd.is_some())?;
        write!(f, " {frames} frames, n = {}", self.clips)
    }
}
