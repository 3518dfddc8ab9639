//! Choices in words, for reports.

use std::fmt;

use crate::{
    Averaging, Border, Covariance, Fit, FvdProtocol, LpipsConfig, Planes, PsnrConfig, PsnrMode, Rounding,
    SsimConfig, UnitNorm, Window,
};

impl fmt::Display for FvdProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, rounding, fit, i3d, covariance } = self;
        write!(f, "400 logits of I3D, {weights}, batch-norm epsilon {:e}, {rounding}, {fit}, ", i3d.bn_eps)?;
        f.write_str(match covariance {
            Covariance::Unbiased => "unbiased covariance",
            Covariance::Biased => "biased covariance",
        })
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "not rounded",
            Self::Nearest => "rounded to 256 levels",
            Self::Truncate => "cut off to the level below of 256",
        })
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crop => "short side to 224 and centre crop",
            Self::Stretch => "stretched to 224x224",
            Self::TensorFlow1 => "stretched to 224x224 as TensorFlow 1 does",
        })
    }
}

impl fmt::Display for PsnrConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            PsnrMode::Inf => "infinite where frames are equal",
            PsnrMode::Cap100 => "100 dB where frames are equal",
            PsnrMode::Eps1e8 => "1e-8 added to the error",
        };
        let averaging = match self.averaging {
            Averaging::PerFrame => "mean over frames",
            Averaging::Pooled => "of the pooled error",
        };
        write!(f, "{}, {averaging}, {mode}", self.planes)
    }
}

impl fmt::Display for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "RGB",
            Self::Luma => "BT.601 luma",
        })
    }
}

impl fmt::Display for SsimConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, border, covariance, downsample, planes, k1, k2 } = self;
        match window {
            Window::Gaussian { side, sigma } => write!(f, "{planes}, Gaussian {side}/{sigma}")?,
            Window::Uniform { side } => write!(f, "{planes}, uniform {side}x{side}")?,
        }
        f.write_str(match border {
            Border::Valid => ", valid",
            Border::Reflect => ", reflected border",
        })?;
        f.write_str(match covariance {
            Covariance::Biased => ", population covariance",
            Covariance::Unbiased => ", sample covariance",
        })?;
        write!(f, ", K {k1}/{k2}")?;
        f.write_str(if *downsample { ", squares averaged from 384 pixels up, f64" } else { ", f64" })
    }
}

impl fmt::Display for LpipsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, spatial, norm } = self;
        write!(f, "v0.1, {}", network.name())?;
        f.write_str(if *spatial { ", maps enlarged to the frame" } else { ", mean of each map" })?;
        f.write_str(match norm {
            UnitNorm::Lpips => "",
            UnitNorm::Torchmetrics => ", torchmetrics' norm",
        })
    }
}
