//! Every choice that changes a number, in one value that prints itself.

mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Covariance, Error, Fit, I3dConfig, LpipsConfig, Network, Planes, PsnrConfig, PsnrMode, Result, Rounding,
    SsimConfig,
};

/// How videos are scored. Numbers under different protocols cannot be compared; a [`Report`](crate::Report) carries its own.
///
/// ```
/// use cola_metrics::Protocol;
///
/// let ours = Protocol::default();
/// assert!(ours.to_string().contains("SSIM: RGB, Gaussian 11/1.5, valid"));
/// assert_ne!(Protocol::preset("videogpt")?, ours);
/// # Ok::<(), cola_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// What the choices are called.
    pub name: String,
    /// Frames at the start of every clip that the model was shown: they are left out of every number.
    pub given: usize,
    /// What becomes of pixels before PSNR, SSIM and LPIPS; values beyond `[0, 1]` are clamped in any case.
    pub rounding: Rounding,
    /// Peak signal-to-noise ratio.
    pub psnr: PsnrConfig,
    /// Structural similarity.
    pub ssim: SsimConfig,
    /// Perceptual distance.
    pub lpips: LpipsConfig,
    /// Whose backbone LPIPS has, in words; who opens other weights says so here.
    pub lpips_weights: String,
    /// Fréchet distance of clips.
    pub fvd: FvdProtocol,
}

/// What a Fréchet video distance depends on beside its clips and their number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FvdProtocol {
    /// Whose weights, in words; who opens others than the shipped ones says so here.
    pub weights: String,
    /// What becomes of pixels before they are resized.
    pub rounding: Rounding,
    /// How frames become 224x224.
    pub fit: Fit,
    /// The network.
    pub i3d: I3dConfig,
    /// The covariance rule.
    pub covariance: Covariance,
}

impl Default for FvdProtocol {
    fn default() -> Self {
        Self {
            weights: "shipped Kinetics-400 weights".into(),
            rounding: Rounding::default(),
            fit: Fit::default(),
            i3d: I3dConfig::default(),
            covariance: Covariance::default(),
        }
    }
}

impl Default for Protocol {
    /// Frames rounded to grey levels; per-frame PSNR of at most 100 dB, Gaussian SSIM, LPIPS of AlexNet, unbiased FVD.
    fn default() -> Self {
        Self {
            name: "cola-world".into(),
            given: 1,
            rounding: Rounding::Nearest,
            psnr: PsnrConfig { mode: PsnrMode::Cap100, ..PsnrConfig::default() },
            ssim: SsimConfig::default(),
            lpips: LpipsConfig::default(),
            lpips_weights: "torchvision's weights".into(),
            fvd: FvdProtocol::default(),
        }
    }
}

impl Protocol {
    /// Names of [`Protocol::preset`].
    pub const NAMES: [&str; 7] =
        ["cola-world", "stylegan-v", "common-script", "videogpt", "adaworld", "content-debiased", "irasim"];

    /// A published lineage's choices. Its linear algebra in f32 is not reproduced: the distances here are what it
    /// approximates, see `docs/metrics.md`.
    ///
    /// | name | whose |
    /// |---|---|
    /// | `cola-world` | this project's, [`Protocol::default`] |
    /// | `stylegan-v` | StyleGAN-V's FVD: frames stretched, no rounding, biased covariance |
    /// | `common-script` | the video-metric script that Open-Sora's evaluation uses: FVD after StyleGAN-V with a centre crop and unbiased covariance, LPIPS as the mean of a full-size map |
    /// | `videogpt` | VideoGPT's FVD: levels cut off below, centre crop, batch-norm epsilon 1e-5 |
    /// | `adaworld` | AdaWorld (after TATS): PSNR with 1e-8, piq's SSIM, LPIPS of VGG; FVD of stretched frames, levels cut off below |
    /// | `content-debiased` | the content-debiased tool's FVD with I3D: stretched frames, biased covariance, batch-norm epsilon 1e-5 |
    /// | `irasim` | IRASim: SSIM and PSNR of luma in 7x7 windows; FVD after StyleGAN-V, without its mirrored clips |
    ///
    /// # Errors
    /// Another name.
    pub fn preset(name: &str) -> Result<Self> {
        let usual = Self { name: name.into(), ..Self::default() };
        let after_stylegan_v = FvdProtocol {
            rounding: Rounding::Keep,
            fit: Fit::Stretch,
            covariance: Covariance::Biased,
            ..FvdProtocol::default()
        };
        let after_videogpt = FvdProtocol {
            rounding: Rounding::Truncate,
            i3d: I3dConfig { bn_eps: 1e-5 },
            ..FvdProtocol::default()
        };
        Ok(match name {
            "cola-world" => usual,
            "stylegan-v" => Self { fvd: after_stylegan_v, ..usual },
            "common-script" => Self {
                rounding: Rounding::Keep,
                lpips: LpipsConfig { spatial: true, ..usual.lpips },
                fvd: FvdProtocol { rounding: Rounding::Keep, ..FvdProtocol::default() },
                ..usual
            },
            "videogpt" => Self { fvd: after_videogpt, ..usual },
            "adaworld" => Self {
                rounding: Rounding::Keep,
                psnr: PsnrConfig { mode: PsnrMode::Eps1e8, ..usual.psnr },
                ssim: SsimConfig::piq(),
                lpips: LpipsConfig { network: Network::Vgg, ..usual.lpips },
                fvd: FvdProtocol { fit: Fit::Stretch, ..after_videogpt },
                ..usual
            },
            "content-debiased" => Self {
                fvd: FvdProtocol {
                    rounding: Rounding::Nearest,
                    i3d: I3dConfig { bn_eps: 1e-5 },
                    ..after_stylegan_v
                },
                ..usual
            },
            "irasim" => Self {
                psnr: PsnrConfig { planes: Planes::Luma, ..usual.psnr },
                ssim: SsimConfig::luma_uniform7(),
                fvd: after_stylegan_v,
                ..usual
            },
            _ => {
                return Err(Error::Setting {
                    field: "protocol",
                    found: format!("{name:?}"),
                    expected: "cola-world, stylegan-v, common-script, videogpt, adaworld, content-debiased or irasim",
                });
            }
        })
    }

    /// The protocol in words, without LPIPS or FVD where they were left out.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, lpips: bool, fvd: bool) -> fmt::Result {
        write!(f, "{}: clamped to [0, 1], {}; ", self.name, self.rounding)?;
        match self.given {
            0 => write!(f, "every frame scored. ")?,
            1 => write!(f, "the first frame left out. ")?,
            given => write!(f, "the first {given} frames left out. ")?,
        }
        write!(f, "PSNR: {}. SSIM: {}.", self.psnr, self.ssim)?;
        if lpips {
            write!(f, " LPIPS: {}, {}.", self.lpips, self.lpips_weights)?;
        }
        if fvd {
            write!(f, " FVD: {}.", self.fvd)?;
        }
        Ok(())
    }

    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// As the parts' `check`.
    pub fn check(&self) -> Result<()> {
        self.ssim.check()?;
        self.fvd.i3d.check()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true, true)
    }
}
